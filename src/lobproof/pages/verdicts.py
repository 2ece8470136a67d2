"""How a verdict looks: its tone in a table, its colour in a picture."""

from __future__ import annotations

from collections.abc import Mapping

from lobproof.fidelity.exact.report import Verdict

TONES: Mapping[str, str] = {
    Verdict.EXACT: "ok",
    Verdict.PASS: "ok",
    Verdict.FAIL: "bad",
    Verdict.INCONCLUSIVE: "unsure",
    Verdict.NOT_APPLICABLE: "none",
}
PAINTS = {
    Verdict.PASS: "bid",
    Verdict.INCONCLUSIVE: "sand",
    Verdict.FAIL: "doubt",
    Verdict.NOT_APPLICABLE: "frame",
}
