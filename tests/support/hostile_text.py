"""Text written to be obeyed (controls, markup, bidi, C1), and what of it is left."""

from __future__ import annotations

import re
from unicodedata import category

TEXTS = (
    "[/red]",
    "[bold red]x[/]:bomb:",
    "\x1b[666mESC",
    "\x1b]0;title\x07",
    "\x9b666mC1\x90q\x9c",
    "\u202eevil\u2066\u2069\u200f",
    "\u2028\u2029\x85",
    "\x00\x08\x7f\r\v\f",
    "<script>document.title='EVIL'</script>",
    '"><img src=x onerror="document.title=\'EVIL\'">',
    "{{ 7 * 7 }}{% raw %}",
    "\U000e0041\ufeff\u00ad\ufff9",
)
"""One kind each."""
ALL = "".join(TEXTS)

# what rich itself paints: styles, the cursor, a line begun anew
_PAINT = re.compile(
    r"\x1b\[(?:[0-9]{1,2}(?:;[0-9]{1,3}){0,4})?m|\x1b\[\?25[lh]|\x1b\[[0-9]?[AK]|\r"
)


def obeyed(text: str) -> list[str]:
    """What a terminal or a page would obey in a text, apart from colours of ours."""
    marks = ("Cc", "Cf", "Cs", "Zl", "Zp")
    assert "\x1b[666m" not in text
    return [c for c in _PAINT.sub("", text) if c != "\n" and category(c) in marks]
