"""Blocks of metrics held against each other."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from lobproof.fidelity.metrics.blocks import Blocks


def same(one: Blocks, other: Blocks) -> None:
    """Equal to the last number."""
    assert (one.instrument, one.scale) == (other.instrument, other.scale)
    for name in ("start", "sums", "tallies", "series"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for field in fields(one.bins):
        left, right = getattr(one.bins, field.name), getattr(other.bins, field.name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, field.name)
