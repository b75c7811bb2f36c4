"""What a worker does: runs one item, as a program of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace

from distributed import get_worker

from .. import _fleets, aio
from . import bound

#: Seconds within which the end of a task that is not wanted any more is noticed.
_NOTICE = 0.5


async def work(plan: str, item: int, key: str) -> int:
    """The exit code of the run of an item, or the number of a signal, negative. ``key`` is the name of this task."""
    # Without it, this machine lacks the storage that all share, and would take every item for broken.
    os.stat(plan)
    call = _fleets.run_item(plan, item)
    through = [sys.executable, "-I", "-S", bound.__file__, str(os.getpid())]
    running = asyncio.ensure_future(aio.run(replace(call, through=[os.fsencode(each) for each in through])))
    try:
        while not running.done() and _wanted(key):
            await asyncio.wait({running}, timeout=_NOTICE)
    finally:
        # Not wanted, or the worker itself ends.
        if not running.done():
            running.cancel()
            await aio.to_its_end(running)
    if running.cancelled():
        raise asyncio.CancelledError
    outcome = running.result()
    return -outcome.signal if outcome.signal else outcome.exit_code or 0


def _wanted(key: str) -> bool:
    task = get_worker().state.tasks.get(key)
    return task is not None and task.state == "executing"
