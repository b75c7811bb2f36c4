"""Hands the items of a plan to Dask, and those that are to be tried again once more."""

from __future__ import annotations

import heapq
import queue
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, Iterable, List, Optional, Tuple

from distributed import Client, Future, KilledWorker

from . import EngineError
from .work import work

#: The longest pause between two tries, in seconds. Ours: a storage that is gone for longer is not waited for more often.
MOST_PAUSE = 600.0
#: Seconds after which the scheduler is looked for though nothing has ended.
_LOOK = 5.0


@dataclass(frozen=True)
class Tries:
    """How often an item is tried that is to be tried again, and how many seconds lie before the second try; they double."""

    most: int = 5
    pause: float = 5.0

    def pause_after(self, tries: int) -> float:
        """The pause after so many tries."""
        return min(self.pause * 2.0 ** min(tries - 1, 32), MOST_PAUSE)


def drive(
    client: Client,
    plan: str,
    items: Iterable[int],
    *,
    in_flight: Optional[int],
    tries: Tries,
    tell: Callable[[str], object],
) -> None:
    """Runs items in their order, ``in_flight`` at most at a time, until each has ended or was tried often enough."""
    ready: Deque[Tuple[int, int]] = deque((item, 1) for item in items)
    later: List[Tuple[float, int, int]] = []
    running: Dict[Future, Tuple[int, int]] = {}
    ended: "queue.SimpleQueue[Future]" = queue.SimpleQueue()
    name = f"instar-fleet-{uuid.uuid4().hex}"
    try:
        while ready or later or running:
            while later and later[0][0] <= time.monotonic():
                _, item, count = heapq.heappop(later)
                ready.appendleft((item, count))
            while ready and (in_flight is None or len(running) < in_flight):
                item, count = ready.popleft()
                key = f"{name}-{item}-{count}"
                future = client.submit(work, plan, item, key, key=key, pure=False)
                running[future] = (item, count)
                future.add_done_callback(ended.put)
            try:
                due = later[0][0] - time.monotonic() if later else _LOOK
                future = ended.get(timeout=min(max(due, 0.0), _LOOK))
            except queue.Empty:
                if client.status not in ("running", "connecting"):
                    raise EngineError("the connection to the scheduler was lost") from None
                continue
            item, count = running.pop(future)
            again = _ended(future, item, count, tries, tell)
            if again is not None:
                heapq.heappush(later, (time.monotonic() + again, item, count + 1))
    finally:
        # What is not wanted any more ends its program.
        client.cancel(list(running))


def _ended(
    future: Future, item: int, count: int, tries: Tries, tell: Callable[[str], object]
) -> Optional[float]:
    """Tells how a task ended; after how many seconds its item is to be tried again, if it is."""
    if future.status == "error":
        error = future.exception()
        if not isinstance(error, KilledWorker):
            raise EngineError(f"item {item} could not be run: {type(error).__name__}: {error}") from error
        tell(f"item {item}: given up, because every worker that ran it was killed")
        return None
    if future.status != "finished":
        raise EngineError(f"item {item} was cancelled, or the scheduler was restarted")
    code = future.result()
    if code in (0, 1):
        tell(f"item {item}: {'failed' if code else 'done'}")
        return None
    why = f"exit code {code}" if code > 0 else f"signal {-code}"
    if count >= tries.most:
        tell(f"item {item}: given up after {count} tries: {why}")
        return None
    pause = tries.pause_after(count)
    tell(f"item {item}: {why}, again in {pause:g} s (try {count} of {tries.most})")
    return pause
