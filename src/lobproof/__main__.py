"""``python -m lobproof``: the ``lobproof`` command."""

from lobproof.cli import main

main()
