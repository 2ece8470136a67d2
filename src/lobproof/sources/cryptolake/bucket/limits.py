"""How much a bucket may answer: figures that no real one reaches, each with its reason.

``docs/security.md`` lists them. What goes beyond one ends in an error, or is left out and told.
"""

from __future__ import annotations

MIB = 1 << 20

OBJECT_BYTES = 8 << 30
"""Of one object: the largest day known has 386 MB. Larger ones are left out of an inventory."""
INDEX_BYTES = 32 * MIB
"""Of a ``contents.json.gz``, as it comes: keys are much alike, and shrink to a tenth."""
INFLATED_BYTES = 128 * MIB
"""Of the same, inflated: a million keys of 130 bytes."""
INDEX_KEYS = 1_000_000
"""In one table's index: 400 symbols over almost seven years."""
PAGE_KEYS = 1000
"""Asked for on one page of a listing, and the most that S3 ever gives."""
PAGE_BYTES = 8 * MIB
"""Of such a page: 1,000 keys of 1,024 bytes, the longest that S3 has, and what goes with them."""
PAGES = 1000
"""Of one listing, which is one symbol's days in one table: a million objects."""
INVENTORY_KEYS = 2_000_000
"""Of all listings of a request: 300 symbols in three tables over six years."""
ABSENT_DAYS = 1_000_000
"""Days of a request that the bucket lacks, listed one by one."""
ERROR_BYTES = 64 << 10
"""Of the body of a refusal; the rest is not read."""
NAME_BYTES = 255
"""Of one part of a key: file systems hold no longer name."""
ETAG_CHARACTERS = 128
"""Of an ETag: those of S3 have at most 38."""
TOKEN_CHARACTERS = 4096
"""Of the token that asks for the next page of a listing."""
