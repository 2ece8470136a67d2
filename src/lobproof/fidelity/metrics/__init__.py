"""Metrics of order flow, market state and returns, by block of time: mergeable and exact."""
