"""``tools/check_licences.py`` on what packages may say of themselves."""

from __future__ import annotations

import runpy
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "check_licences.py"))


def told(*lines: str) -> list[str]:
    text = "\n".join(["Metadata-Version: 2.4", "Name: made-up", *lines, "", "A description"])
    found: list[str] = CHECK["findings"]([message_from_string(text)])
    return found


@pytest.mark.parametrize(
    "lines",
    [
        ("License-Expression: Apache-2.0",),
        ("License-Expression: MIT AND (BSD-3-Clause OR GPL-3.0-only)",),
        ("License-Expression: Apache-2.0 WITH LLVM-exception",),
        ("Classifier: License :: OSI Approved :: MIT License",),
        ("Classifier: License :: OSI Approved", "License: MIT"),
        (
            "License: Dual License",
            "Classifier: License :: OSI Approved :: BSD License",
            "Classifier: License :: OSI Approved :: Apache Software License",
        ),
        ("License: BSD-3-Clause",),
        ("License: Apache License,\n        Version 2.0",),
    ],
)
def test_permissive_licences_are_accepted(lines: tuple[str, ...]) -> None:
    assert told(*lines) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("License-Expression: GPL-3.0-or-later",),
        ("License-Expression: AGPL-3.0-only",),
        ("License-Expression: MIT AND GPL-2.0-only",),
        ("License-Expression: BUSL-1.1",),
        ("License-Expression: Apache-2.0 WITH Commons-Clause",),
        ("License-Expression: LicenseRef-Ours OR SSPL-1.0",),
        ("License-Expression: (MIT",),
        ("License-Expression: MIT OR",),
        ("License-Expression: GPL-3.0-only", "Classifier: License :: OSI Approved :: MIT License"),
        ("Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",),
        (
            "Classifier: License :: OSI Approved :: MIT License",
            "Classifier: License :: Other/Proprietary License",
        ),
        ("License: Business Source License 1.1",),
        ("License: see LICENSE",),
        ("License: UNKNOWN",),
        (),
    ],
)
def test_others_are_told_by_the_name_of_the_package(lines: tuple[str, ...]) -> None:
    (line,) = told(*lines)
    assert line.startswith("made-up: it")


def test_a_licence_that_no_field_says_counts_where_its_text_was_read() -> None:
    def of(*lines: str) -> list[str]:
        text = "\n".join(["Metadata-Version: 2.4", "Name: pyrage", *lines, "", "A description"])
        found: list[str] = CHECK["findings"]([message_from_string(text)])
        return found

    assert of("License-File: LICENSE") == []
    assert of("License-Expression: GPL-3.0-only") == ["pyrage: its licence is GPL-3.0-only"]


def test_what_is_installed_here_is_accepted() -> None:
    assert CHECK["main"]() == 0
