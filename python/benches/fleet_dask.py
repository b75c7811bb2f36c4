"""What Dask adds to an item: a fleet of empty images, run by a loop and by one worker.

    python benches/fleet_dask.py [ITEMS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

import instar.fleet
from instar._engine import clusters, drive


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        images = [place / f"{number}.raw" for number in range(items)]
        for image in images:
            image.write_bytes(bytes(1 << 20))
        plans = []
        for kind in ("loop", "dask"):
            (place / kind).mkdir()
            plans.append(instar.fleet.plan(images, place / kind, place / f"{kind}.jsonl"))
        loop, dask = plans
        alone = seconds(lambda: [instar.fleet.run_item(loop, item) for item in range(items)])
        with clusters.local(1, None) as client:
            tries = drive.Tries()
            told = lambda line: None  # noqa: E731
            through = seconds(
                lambda: drive.drive(client, str(dask), range(items), in_flight=None, tries=tries, tell=told)
            )
        assert instar.fleet.status(loop).done == instar.fleet.status(dask).done == items
    print(f"{items} items: {1000 * alone / items:.1f} ms each in a loop, {1000 * through / items:.1f} ms each through Dask")


if __name__ == "__main__":
    main()
