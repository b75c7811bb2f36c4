"""What Dask costs a fleet: time for each item, memory, and what a killed worker loses; and what a second worker brings.

    python benches/fleet_dask.py [ITEMS]
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import psutil

import instar.fleet
from instar._engine import clusters, drive

#: Bytes of a disk that takes a moment to compress.
DISK = 64 << 20


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plan(place: Path, name: str, images: List[Path], **how: Any) -> Path:
    (place / name).mkdir()
    return instar.fleet.plan(images, place / name, place / f"{name}.jsonl", **how)


def run(client: Any, fleet: Path) -> None:
    items = [item.item for item in instar.fleet.status(fleet).list]
    drive.drive(client, str(fleet), items, in_flight=None, tries=drive.Tries(), tell=lambda line: None)
    assert instar.fleet.status(fleet).done == len(items)


def small(place: Path, items: int) -> None:
    """What Dask adds to an item: empty images, run by a loop and by one worker."""
    images = [place / f"{number}.raw" for number in range(items)]
    for image in images:
        image.write_bytes(bytes(1 << 20))
    loop, dask = (plan(place, name, images) for name in ("loop", "dask"))
    alone = seconds(lambda: [instar.fleet.run_item(loop, item) for item in range(items)])
    with clusters.local(1, None) as client:
        through = seconds(lambda: run(client, dask))
    print(f"{items} empty images: {1000 * alone / items:.1f} ms each in a loop, {1000 * through / items:.1f} ms through Dask")


def large(place: Path) -> None:
    """Eight images that are compressed with one lane each, by one worker and by two, and with one of two killed meanwhile."""
    images = [place / f"large{number}.raw" for number in range(8)]
    line = "".join(f"{number:08} lines of text that can be compressed\n" for number in range(1 << 16)).encode()
    for image in images:
        image.write_bytes((line * (DISK // len(line) + 1))[:DISK])
    how: Dict[str, Any] = {"target_format": "qcow2", "compress": True, "lanes": 1}
    for name, workers, kills in (("one", 1, False), ("two", 2, False), ("killed", 2, True)):
        fleet = plan(place, name, images, **how)
        with clusters.local(workers, None) as client:
            if kills:
                victim = next(iter(client.run(os.getpid).values()))
                threading.Timer(1, os.kill, (victim, signal.SIGKILL)).start()
            took = seconds(lambda: run(client, fleet))
            memory = [psutil.Process(each).memory_info().rss >> 20 for each in client.run(os.getpid).values()]
            ours = psutil.Process().memory_info().rss >> 20
        what = "two workers, one killed after a second" if kills else f"{name} worker" + "s" * (workers - 1)
        print(f"8 images of 64 MiB, {what}: {took:.1f} s; MiB in memory: scheduler and launcher {ours}, workers {memory}")


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        small(Path(name), items)
        large(Path(name))


if __name__ == "__main__":
    main()
