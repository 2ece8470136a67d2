"""LOBSTER: message and order book files of NASDAQ stocks, and of what imitates them."""
