"""Assessment: what recorded data is good for, and what this machine can make of it.

Of a symbol-day of Crypto Lake files, or a golden sample: `day` puts together what a pass over the
files (`acquire.facts`, `times`) and a replay that writes nothing (`pipeline.rehearse`, `watch`)
find; `judge` says what it is worth; `words`, `figures` and `page` show it.
"""

from lobproof.assess.day import assess_lake, assess_sample, reference
from lobproof.assess.page import write_report
from lobproof.assess.result import Assessment, Judged, Reference
from lobproof.assess.thresholds import Thresholds

__all__ = [
    "Assessment",
    "Judged",
    "Reference",
    "Thresholds",
    "assess_lake",
    "assess_sample",
    "reference",
    "write_report",
]
