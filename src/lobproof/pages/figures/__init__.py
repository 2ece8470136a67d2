"""The pictures of the page: SVG with crisp text, in colours that follow the reader's scheme."""

from lobproof.pages.figures.depth import heatmap
from lobproof.pages.figures.flow import rates, reconciliation
from lobproof.pages.figures.style import Figure, Key
from lobproof.pages.figures.touch import profile, spread
from lobproof.pages.figures.trust import drift, trust

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
