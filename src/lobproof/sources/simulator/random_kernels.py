"""Random numbers that are the same on every machine, compiled or not.

xoshiro128++ (Blackman and Vigna) in four integers that hold 32 bits each, and variates that need
only addition, multiplication, division and square roots, which IEEE 754 rounds one way only: no
``exp`` or ``log`` of the platform's library decides what a seed means.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record
from lobproof.sources.simulator.layout_kernels import TABLE_CELLS, TABLE_SLOTS

_MASK = 0xFFFFFFFF
_LN2 = 0.6931471805599453
_MASK64 = 0xFFFF_FFFF_FFFF_FFFF


def seed_random(random: Record, seed: int, stream: int) -> None:
    """Begin generator number ``stream`` of ``seed``: four 32-bit words by splitmix64."""
    state = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & _MASK64
    words: list[int] = []
    while len(words) < 4:
        state = (state + 0x9E3779B97F4A7C15) & _MASK64
        mixed = state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK64
        mixed ^= mixed >> 31
        words += [mixed & _MASK, mixed >> 32]
    random.a, random.b, random.c, random.d = words


@kernel
def bits32(random: Record) -> int:
    """The next 32 random bits as a number from 0 to 2**32 - 1."""
    a, b, c, d = int(random.a), int(random.b), int(random.c), int(random.d)
    total = (a + d) & _MASK
    result = ((((total << 7) | (total >> 25)) & _MASK) + a) & _MASK
    shifted = (b << 9) & _MASK
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = ((d << 11) | (d >> 21)) & _MASK
    random.a, random.b, random.c, random.d = a, b, c, d
    return result


@kernel
def uniform(random: Record) -> float:
    """A number strictly between 0 and 1."""
    return (bits32(random) + 0.5) * (1.0 / 4294967296.0)


@kernel
def below(random: Record, n: int) -> int:
    """A whole number from 0 to ``n`` - 1 (``n`` up to 2**31)."""
    return (bits32(random) * n) >> 32


@kernel
def exponential(random: Record) -> float:
    """An exponential variate of mean 1: the negative logarithm of a uniform one."""
    x = bits32(random) + 0.5
    result = 0.0
    while x < 2147483648.0:
        x *= 2.0
        result += _LN2
    s = x * (1.0 / 2147483648.0)
    s = (s - 1.0) / (s + 1.0)
    q = s * s
    log = 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0)))))
    return max(result + _LN2 - log, 1e-9)


@kernel
def normal(random: Record) -> float:
    """A variate of mean 0 and variance 1: the sum of eight uniform ones, scaled."""
    total = 0
    for _ in range(4):
        word = bits32(random)
        total += (word & 0xFFFF) + (word >> 16)
    return ((total + 4) * (1.0 / 65536.0) - 4.0) * 1.224744871391589


@kernel
def exp_minus(x: float) -> float:
    """``exp(-x)`` for ``x >= 0``, to about seven digits; 0 from 40 on."""
    if x >= 40.0:
        return 0.0
    y = x * (1.0 / 64.0)
    r = 1.0 / (1.0 + y * (1.0 + y * (0.5 + y * (1.0 / 6.0 + y * (1.0 / 24.0 + y / 120.0)))))
    r *= r
    r *= r
    r *= r
    r *= r
    r *= r
    return r * r


@kernel
def draw(random: Record, m: Int64, table: int) -> int:
    """A variate of the distribution whose quantiles are table number ``table`` of ``m``.

    They are given at multiples of 1 / TABLE_CELLS, then the last cell again in as many;
    between them it is interpolated.
    """
    word = bits32(random)
    at = table * TABLE_SLOTS
    cell = word >> 22
    if cell == TABLE_CELLS - 1:
        at += TABLE_CELLS + 1
        word = bits32(random)
        cell = word >> 22
    low = int(m[at + cell])
    return low + (((int(m[at + cell + 1]) - low) * ((word >> 6) & 0xFFFF)) >> 16)
