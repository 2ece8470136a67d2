"""Gates C and D: whether two sets of blocks are of one market, with stated error rates."""
