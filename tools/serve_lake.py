"""A fake Crypto Lake: simulated (synthetic) days behind a local S3 server, until Ctrl-C.

``make lake`` runs it; ``MINUTES``, ``PRESET``, ``PORT`` and ``START`` in the environment change it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import zlib
from pathlib import Path

from moto.server import ThreadedMotoServer

from fakes.s3 import FakeBucket, Proxy
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.simulator import simulate

BUCKETS = {"sample.crypto.lake": "", "qnt.data": "market-data/cryptofeed"}
WORDS = """
A fake Crypto Lake with simulated (synthetic) days of {symbol} is up. In another terminal:

  export AWS_ENDPOINT_URL={url}
  .venv/bin/lobproof acquire test-connection --sample
  .venv/bin/lobproof acquire list-inventory --sample
  .venv/bin/lobproof acquire download --sample --out lake --yes
  .venv/bin/lobproof acquire validate lake
  .venv/bin/lobproof acquire certify lake --allow-synthetic
  .venv/bin/lobproof acquire status lake
  .venv/bin/lobproof reconstruct lake --out store

Ctrl-C ends it.
"""


def index(keys: list[str], prefix: str, table: str) -> bytes:
    """The vendor's listing of a table."""
    below = [f"{prefix}/{key}" if prefix else key for key in keys if key.startswith(f"{table}/")]
    return zlib.compress(json.dumps({"objects": below}).encode())


def main() -> int:
    """Simulate, serve, wait."""
    preset = os.environ.get("PRESET", "nexo")
    minutes = float(os.environ.get("MINUTES", "1440"))
    start = os.environ.get("START", "2026-01-05T00:00:00Z")
    out = Path("build") / f"lake-{preset}-{minutes:g}-{start[:10]}"
    print(f"Simulating {minutes:g} minutes of the preset {preset} from {start} ...", flush=True)
    made = simulate(out, preset=preset, minutes=minutes, start=start, recording=False, lake=True)
    server = ThreadedMotoServer(
        ip_address="127.0.0.1", port=int(os.environ.get("PORT", "9000")), verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    folder, proxy = made.lake or out, Proxy((host, port))
    for bucket, prefix in BUCKETS.items():
        fake = FakeBucket((host, port), proxy, bucket, prefix)
        fake.make()
        keys = fake.put_folder(folder)
        for table in TABLES:
            fake.put(f"{table}/contents.json.gz", index(keys, prefix, table))
    symbol = next(folder.glob("*/exchange=*/symbol=*")).name.partition("=")[2]
    print(WORDS.format(symbol=symbol, url=f"http://{host}:{port}"), flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nThe fake Crypto Lake is down.")
    proxy.close()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
