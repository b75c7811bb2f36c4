"""The verbs for asyncio: ``await instar.aio.convert(…)``. A run that is cancelled is ended before the cancellation goes on."""

from __future__ import annotations

import asyncio
import functools
import subprocess
from typing import TYPE_CHECKING, Any, Awaitable, Callable, List, TypeVar

from . import _verbs
from ._call import Call
from ._program import program
from ._run import GRACE, Pipes, public

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["chain", "check", "checksum", "compare", "convert", "create", "info", "map", "measure", "safety"]


def _later(call: "Callable[P, Call[T]]") -> "Callable[P, Awaitable[T]]":
    @functools.wraps(call)
    async def run_it(*args: "P.args", **keywords: "P.kwargs") -> T:
        return await run(call(*args, **keywords))

    return public(run_it, "instar.aio")


async def run(call: "Call[T]") -> T:
    """Carries out a call. Progress is told in the loop's own thread."""
    with Pipes(call) as pipes:
        child = await asyncio.create_subprocess_exec(
            *pipes.command(program()),
            stdin=subprocess.DEVNULL,
            stdout=pipes.writers["answer"],
            stderr=pipes.writers["said"],
            pass_fds=pipes.passed(),
        )
        try:
            pipes.close_writers()
            await _read_all(pipes)
            code = await child.wait()
        except BaseException:
            # To the end, even if the task is cancelled once more meanwhile.
            await to_its_end(asyncio.ensure_future(_end(child)))
            raise
    return call.result(pipes.output(code))


async def _end(child: "asyncio.subprocess.Process") -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), GRACE)
    except asyncio.TimeoutError:
        child.kill()
        await child.wait()


async def to_its_end(task: "asyncio.Future[Any]") -> None:
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue


async def _read_all(pipes: Pipes) -> None:
    loop = asyncio.get_running_loop()
    transports: List[asyncio.BaseTransport] = []
    try:
        waiting: List[asyncio.Future[None]] = []
        for name in list(pipes.readers):
            ended: asyncio.Future[None] = loop.create_future()
            waiting.append(ended)
            # Its transport closes it.
            file = open(pipes.readers.pop(name), "rb", buffering=0)
            make = functools.partial(_Reading, pipes, name, ended)
            transport: asyncio.BaseTransport
            transport, _ = await loop.connect_read_pipe(make, file)
            transports.append(transport)
        await asyncio.gather(*waiting)
    finally:
        for transport in transports:
            transport.close()


class _Reading(asyncio.Protocol):
    """One pipe, read to its end."""

    def __init__(self, pipes: Pipes, name: str, ended: "asyncio.Future[None]") -> None:
        self._pipes = pipes
        self._name = name
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        if self._ended.done():
            return
        try:
            self._pipes.take(self._name, data)
        except Exception as error:  # The listener's, too: it belongs to who waits for the run.
            self._ended.set_exception(error)

    def connection_lost(self, exc: Any) -> None:
        if self._ended.done():
            return
        if exc is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(exc)


chain = _later(_verbs.chain)
check = _later(_verbs.check)
checksum = _later(_verbs.checksum)
compare = _later(_verbs.compare)
convert = _later(_verbs.convert)
create = _later(_verbs.create)
info = _later(_verbs.info)
map = _later(_verbs.map)
measure = _later(_verbs.measure)
safety = _later(_verbs.safety)
