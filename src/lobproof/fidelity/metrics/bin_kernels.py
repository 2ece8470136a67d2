"""Bins of histograms: fixed for good, whatever the data, so that histograms add up.

Two kinds, both of whole numbers. Unsigned: what is negative has a bin of its own, 0 to 511 have one
each, then 16 to a power of two up to 2^40, then one for all beyond. Signed: the same around 0, with
one bin each up to 255.
"""

from __future__ import annotations

import numpy as np

from lobproof.jit import kernel

STEPS = 16
"""Bins to a power of two, beyond the values that have bins of their own."""
TOP = 40
"""Values of 2^TOP and more share a bin."""
_BEHIND = 48
"""Bits of a float's mantissa behind those that tell the sixteenth."""
_BIAS = 1023
UNSIGNED_EXACT = 9
SIGNED_EXACT = 8
"""Values below two to this power have a bin each."""
UNSIGNED_BINS = 1 + (1 << UNSIGNED_EXACT) + (TOP - UNSIGNED_EXACT) * STEPS + 1
SIGNED_SIDE = (1 << SIGNED_EXACT) + (TOP - SIGNED_EXACT) * STEPS
"""Code of the largest magnitude; a signed value's bin is ``SIGNED_SIDE`` plus or minus its code."""
BINS = 2 * SIGNED_SIDE + 1
"""Room for a histogram of either kind."""


@kernel
def magnitude_code(value: int, exact: int) -> int:
    """The number of the bin of ``value`` (0 or more), from 0 on."""
    if value < 1 << exact:
        return value
    if value >= 1 << TOP:
        return (1 << exact) + (TOP - exact) * STEPS
    # as a float its leading bits are the power of two, and which sixteenth of it this is
    bits = np.float64(value).view(np.int64)
    return int(bits >> _BEHIND) - ((_BIAS + exact) * STEPS - (1 << exact))


@kernel
def unsigned_bin(value: int) -> int:
    """The bin of a value that should not be negative."""
    if value < 0:
        return 0
    return 1 + magnitude_code(value, UNSIGNED_EXACT)


@kernel
def signed_bin(value: int) -> int:
    """The bin of a value of either sign."""
    if value < 0:
        return SIGNED_SIDE - magnitude_code(-value, SIGNED_EXACT)
    return SIGNED_SIDE + magnitude_code(value, SIGNED_EXACT)
