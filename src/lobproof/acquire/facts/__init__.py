"""What the vendor's data is said to be like, held against a day of it: one check a fact.

The facts are those of the field notes that were inferred, or reported by a third party, and that
the three tables of one symbol-day can decide. Nothing here judges whether the day is fit for use:
that is validation's.
"""

from lobproof.acquire.facts.day import check_day
from lobproof.acquire.facts.model import SLACK, Fact, Holds

__all__ = ["SLACK", "Fact", "Holds", "check_day"]
