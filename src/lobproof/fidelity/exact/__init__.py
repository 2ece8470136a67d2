"""Gates A and B: a store checked by itself, and held against what was recorded, one by one.

Is the store whole and in order (`integrity`), and each state what its events make (`states`)? Is
each level change and trade the recorded one (`golden`, decoded anew by `decoder`), the touch the
venue's own (`tops`), the book that of later snapshots (`snapshots`) and of the vendor's files
(`vendor`)? `verify` puts it into one `report`; `window` is the store as the checks read it.

Nothing here shares code with what made the store, but for the book of `states`, whose events others
hold against the recording; and nothing is repaired. How well a store serves a purpose – statistics,
fills – is no question of this package.
"""

from lobproof.fidelity.exact.report import Check, Divergence, Episode, Verdict, VerifyReport
from lobproof.fidelity.exact.verify import verify

__all__ = ["Check", "Divergence", "Episode", "Verdict", "VerifyReport", "verify"]
