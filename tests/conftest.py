"""What every test shares: where the recordings are, and how hypothesis searches."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=40,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", parent=settings.get_profile("ci"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_CHECKOUT = Path(__file__).resolve().parent.parent
_REQUIRED = os.environ.get("LOBPROOF_REQUIRE_REAL") == "1"


def recordings() -> Path:
    """Where the recordings are: ``LOBPROOF_REAL_DATA``, or ``../shared/data`` by the checkout."""
    named = os.environ.get("LOBPROOF_REAL_DATA")
    return Path(named).resolve() if named else _CHECKOUT.parent / "shared" / "data"


def _missing() -> str | None:
    """Why the tests on recordings cannot run, or None when they can."""
    if (recordings() / "binance-spot").is_dir():
        return None
    return "no recordings: LOBPROOF_REAL_DATA names no folder that holds binance-spot/"


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Sums that are kept from page to page are those of this run; kernels are everybody's."""
    from lobproof.jit import cache_folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(cache_folder().parents[2]))
        patch.setenv("LOBPROOF_COMPILE_BESIDE", "0")
        patch.setenv("LOBPROOF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the recordings; a test that uses it carries the mark ``real``."""
    reason = _missing()
    if reason:
        pytest.skip(reason)
    return recordings()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the recordings, and skip it with the reason where there are none."""
    reason = _missing()
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real)
        if reason and not _REQUIRED and item.get_closest_marker("real"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``LOBPROOF_REQUIRE_REAL=1`` a skipped test on recordings is a failed one."""
    report = yield
    if _REQUIRED and report.skipped and item.get_closest_marker("real"):
        report.outcome = "failed"
        report.longrepr = f"LOBPROOF_REQUIRE_REAL=1, but this test was skipped: {report.longrepr}"
    return report
