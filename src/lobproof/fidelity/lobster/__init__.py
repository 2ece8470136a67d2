"""Two folders of LOBSTER files against each other: which gate fits them, and the report."""
