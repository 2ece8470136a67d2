"""Plain random mutations, for where no fuzzer is installed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def mutations(
    seeds: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random
) -> Iterator[bytes]:
    """Endless mutations of the seeds: bytes and runs changed, put in, left out, doubled."""
    while True:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            start = rng.randrange(len(data) + 1)
            stop = min(len(data), start + rng.choice((0, 1, 1, 2, 8, 64)))
            how = rng.randrange(6)
            if how == 0 and start < len(data):
                data[start] ^= 1 << rng.randrange(8)
            elif how == 1:
                data[start:stop] = rng.randbytes(rng.randrange(5))
            elif how == 2 and tokens:
                data[start:stop] = rng.choice(tokens)
            elif how == 3:
                del data[start:stop]
            elif how == 4:
                data[start:start] = data[start:stop] * rng.choice((1, 1, 20))
            elif how == 5:
                other = rng.choice(seeds)
                at = rng.randrange(len(other) + 1)
                data[start:stop] = other[at : at + rng.choice((8, 64, 1024))]
        yield bytes(data)
