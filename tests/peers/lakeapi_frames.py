"""The frames that the vendor's ``lakeapi`` makes of a bucket, as Parquet files.

Runs in an environment of its own, which has lakeapi and pandas 2:
``python lakeapi_frames.py START END OUT TABLE ...`` with ``AWS_ENDPOINT_URL`` set.
"""

from __future__ import annotations

import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Load each table from START to before END, and write what came."""
    start, end = (datetime.fromisoformat(text) for text in sys.argv[1:3])
    out, tables = Path(sys.argv[3]), sys.argv[4:]
    lakeapi = import_module("lakeapi")
    lakeapi.use_sample_data(anonymous_access=True)
    for table in tables:
        frame = lakeapi.load_data(table, start=start, end=end, cached=False, use_threads=False)
        frame.to_parquet(out / f"{table}.parquet", index=False)


if __name__ == "__main__":
    main()
