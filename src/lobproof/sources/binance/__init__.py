"""Binance: its messages, the journals that keep them, and the source that replays them.

It answers: how is a line told apart, and where do its numbers stand (`scan_kernels`, `scanner`);
what of a line that departs from the strict shape (`decode`); how do its numbers become rows of
batches (`row_kernels`, `rows`); how are messages kept byte for byte (`journal`); which addresses,
streams, limits and order does a market have (`venue`); how does a golden sample become streams
(`source`).

It judges nothing: every message is given, and whether one is lost is for `replay` to see.
"""
