"""How a snapshot is weighed against a whole chain: which of the two is believed.

A later snapshot that differs from a book whose chain is whole is held against what is known of
each level that differs:

- depth messages set it since the anchor, or two snapshots agreed on it: the chain is believed and
  the snapshot refuted, unless it says what the last refuted one said of every such level, and
  most of its levels are the book's (another symbol's are not);
- it is as the anchoring snapshot listed it, and nothing else: one snapshot stands against another,
  and nothing is believed until a third comes.

So the replay keeps an image of what the anchor lists, how far a second snapshot agreed, and the
mismatches of the last one that was refuted. An anchor itself is on probation until a depth message
names a level that it lists.
"""

from __future__ import annotations

from lobproof.book.kernels import Book, top
from lobproof.book.trust_kernels import DEFINITE, NEVER, listed_key
from lobproof.jit import kernel
from lobproof.replay.state_kernels import MAX_IMAGE, MAX_MISMATCHES, MAX_REMEMBERED
from lobproof.schema.plain import ASK, BID
from lobproof.schema.records import Record

IMAGE_UNKNOWN = 2**62 + 1
"""How far the image goes where it holds not all that the anchor lists."""
UNDECIDED, BELIEVED, DISBELIEVED = range(3)
"""One snapshot against another; a second one says the same; the chain says otherwise."""
LEAST_UNLISTED = 16
MOST_UNLISTED = 256
"""An anchor is doubted after so many levels within its range that it lacks, and none that it lists.

On recordings up to 146 new levels come in a row, amid a move. At the end of a day, where more may
come, the least suffices.
"""


@kernel
def take_image(book: Book, state: Record) -> None:
    """Note the book as far as the last snapshot lists it."""
    for side in (BID, ASK):
        image = state.image[side - 1]
        sign = 2 * side - 3
        limit = listed_key(state.trust, side)
        count = 0
        if limit != NEVER:
            count = top(book, side, MAX_IMAGE, image.prices, image.sizes)
        cut = count == MAX_IMAGE and sign * image.prices[count - 1] < limit
        while count > 0 and sign * image.prices[count - 1] > limit:
            count -= 1
        image.count = count
        image.to = IMAGE_UNKNOWN if cut else limit


@kernel
def no_image(state: Record) -> None:
    """Nothing is known of the anchor: what it listed may be any of the book's levels."""
    for side in (BID, ASK):
        state.image[side - 1].count = 0
        state.image[side - 1].to = IMAGE_UNKNOWN
        state.vouched_to[side - 1] = NEVER
    state.remembered = 0
    state.on_probation = 0


@kernel
def set_since(state: Record, side: int, price: int, held: int) -> bool:
    """Whether the book's size of a level is not the anchor's, so that a depth message set it."""
    image = state.image[side - 1]
    sign = 2 * side - 3
    low = 0
    high = image.count
    while low < high:
        middle = (low + high) // 2
        if sign * image.prices[middle] < sign * price:
            low = middle + 1
        else:
            high = middle
    if low < image.count and image.prices[low] == price:
        return bool(image.sizes[low] != held)
    if image.to == IMAGE_UNKNOWN:
        return False
    # beyond what the anchor lists all is from depth messages
    return bool(held != 0 or sign * price > image.to)


@kernel
def anchored(book: Book, state: Record) -> None:
    """The book rests on the last snapshot alone."""
    take_image(book, state)
    state.vouched_to[:] = NEVER
    state.remembered = 0
    state.trust.waits = DEFINITE
    state.on_probation = 1
    state.unlisted = 0


@kernel
def confirmed(book: Book, state: Record, bids_to: int, asks_to: int) -> None:
    """The last snapshot agrees with the book, as far (sign * price) as both know the sides."""
    state.vouched_to[0] = max(state.vouched_to[0], bids_to)
    state.vouched_to[1] = max(state.vouched_to[1], asks_to)
    take_image(book, state)
    state.remembered = 0
    state.on_probation = 0


@kernel
def was_said(state: Record, mismatch: Record) -> bool:
    """Whether the last refuted snapshot said the same of a level, against the same book."""
    for k in range(state.remembered):
        said = state.remembered_levels[k]
        if (
            said.side == mismatch.side
            and said.price == mismatch.price
            and said.held == mismatch.held
            and said.listed == mismatch.listed
        ):
            return True
    return False


@kernel
def weigh(state: Record) -> int:
    """Judge the snapshot that differs in the mismatches; a refuted one is remembered."""
    if state.mismatches > MAX_MISMATCHES:  # not all of them are known
        return UNDECIDED
    against = 0
    said = 0
    for k in range(state.mismatches):
        level = state.mismatch_levels[k]
        vouched = (2 * level.side - 3) * level.price <= state.vouched_to[level.side - 1]
        if vouched or set_since(state, level.side, level.price, level.held):
            against += 1
            if was_said(state, level):
                said += 1
    if against == 0:  # what differs is the anchor's alone
        return UNDECIDED
    if said == against and state.shared >= state.mismatches:
        return BELIEVED
    state.remembered = min(state.mismatches, MAX_REMEMBERED)
    for k in range(state.remembered):
        state.remembered_levels[k] = state.mismatch_levels[k]
    return DISBELIEVED


@kernel
def probe(state: Record, side: int, price: int, before: int) -> None:
    """Note whether the anchor, within its range, holds a level that a depth message names."""
    sign = 2 * side - 3
    image = state.image[side - 1]
    to = image.to
    if to == IMAGE_UNKNOWN:  # it lists more than the image holds
        to = sign * image.prices[image.count - 1]
    if sign * price <= to:
        if before > 0:
            state.on_probation = 0
        else:
            state.unlisted += 1


@kernel
def judged(state: Record) -> None:
    """The book is known to be right up to the last snapshot."""
    state.mismatches = 0
    state.trust.waits = DEFINITE
    state.agreed = state.compared
