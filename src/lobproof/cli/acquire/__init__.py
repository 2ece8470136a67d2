"""The ``lobproof acquire`` commands, one module each."""
