"""Inference about two streams of dependent, tied observations, from additive statistics of blocks.

No metrics and no files here: arrays in, frozen results out. A **block** is an interval of time.
What is counted in it adds up over blocks, hours and workers, and stands here as arrays whose first
axis is the block. How long blocks have to be says `dependence`; what two streams of one window
differ by `equivalence` (gate C), of which `functionals` are the figures, with `signflip` as a
flag; whether two windows may have one law `permutation` and `conformal` (gate D). `plain` is the
K-S test that everybody knows, `rates` bounds shares, `bootstrap` bounds a figure of one stream.
See ``docs/fidelity.md``.
"""
