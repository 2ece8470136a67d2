"""What a file of Crypto Lake's is judged by: kernels, a check per table, coverage of a day."""
