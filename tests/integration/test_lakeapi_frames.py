"""Our frames beside those of the vendor's own package, from one bucket."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fakes.s3 import fake_lake
from lobproof.acquire.lake import lake
from lobproof.sources.cryptolake.layout import ALIASES, COLUMNS, TABLES
from lobproof.sources.simulator import simulate
from lobproof.sources.simulator.collectors import LakeConfig
from lobproof.sources.simulator.run import Imperfections

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_SCRIPT = _CHECKOUT / "tests" / "peers" / "lakeapi_frames.py"


def _python() -> Path:
    named = os.environ.get("LOBPROOF_LAKEAPI_PYTHON")
    return Path(named) if named else _CHECKOUT / ".venv-lakeapi" / "bin" / "python"


pytestmark = pytest.mark.skipif(
    not _python().is_file(),
    reason="no environment with lakeapi: make test-lakeapi makes one, or name its Python in "
    "LOBPROOF_LAKEAPI_PYTHON",
)


def test_our_frames_equal_those_of_lakeapi(tmp_path: Path) -> None:
    simulated = simulate(
        tmp_path / "sim",
        preset="btc",
        minutes=1.0,
        start="2026-03-01T23:59:30Z",
        seed=11,
        lake=True,
        recording=False,
        imperfections=Imperfections(lake=LakeConfig(missing_share=0.05)),
    )
    assert simulated.lake is not None
    frames = tmp_path / "frames"
    frames.mkdir()
    with fake_lake("sample.crypto.lake", "") as bucket:
        bucket.put_folder(simulated.lake)
        done = subprocess.run(
            [_python(), _SCRIPT, "2026-03-01", "2026-03-03", frames, *TABLES],
            cwd=tmp_path,  # it leaves its cache where it runs
            env={
                "PATH": "",
                "HOME": str(tmp_path),
                "AWS_ENDPOINT_URL": bucket.url,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    source = lake(simulated.lake)
    for table in TABLES:
        theirs = pl.read_parquet(frames / f"{table}.parquet")
        ours = source.table(table, names="lakeapi").drop("dt").collect()
        assert len(ours) > 100
        assert ours["exchange"].n_unique() == ours["symbol"].n_unique() == 1
        assert set(theirs.columns) == set(ours.columns)
        assert [name for name in theirs.columns if name not in ("exchange", "symbol")] == [
            ALIASES[table].get(name, name) for name in COLUMNS[table]
        ]
        times = pl.col("origin_time", "received_time").dt.replace_time_zone("UTC")
        texts = pl.selectors.categorical().cast(pl.String)
        assert_frame_equal(
            theirs.with_columns(times, texts), ours, check_column_order=False, check_exact=True
        )
    missing = source.table("book", times="int").filter(pl.col("timestamp") <= 0).collect()
    assert len(missing) > 0
