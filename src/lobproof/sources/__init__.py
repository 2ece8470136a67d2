"""Where market data comes from. Past a source there are only batches; venues end in here."""
