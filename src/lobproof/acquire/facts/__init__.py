"""What the vendor's data is said to be like, held against a day of it: one check a fact.

The facts are those that were inferred, or reported by a third party, and that the three tables of
one symbol-day can decide: columns and row groups, times, sequence numbers and ids, prices and
sizes, rows of `book`, and how the tables relate. Not here: whether a file is fit for use
(`checks`), and how a day is reconstructed.
"""

from lobproof.acquire.facts.day import check_day
from lobproof.acquire.facts.fact import SLACK, Fact, Holds

__all__ = ["SLACK", "Fact", "Holds", "check_day"]
