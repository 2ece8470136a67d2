"""Proof that a reconstruction is what the market did: see ``docs/verification.md``.

`exact` compares and judges, `render` shows the verdict in a terminal. Neither repairs a store, nor
says how well the recording itself caught the market: what it never heard, nothing here can miss.
"""
