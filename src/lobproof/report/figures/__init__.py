"""The pictures of the page: SVG with crisp text, in colours that follow the reader's scheme."""

from lobproof.report.figures.depth import heatmap
from lobproof.report.figures.flow import rates, reconciliation
from lobproof.report.figures.style import Figure, Key
from lobproof.report.figures.touch import profile, spread
from lobproof.report.figures.trust import drift, trust

__all__ = [
    "Figure",
    "Key",
    "drift",
    "heatmap",
    "profile",
    "rates",
    "reconciliation",
    "spread",
    "trust",
]
