"""Binance: its messages, the journals that keep them, and the source that replays them."""
