"""Runs the program and waits for it. No shell, no thread; the child never outlives the call."""

from __future__ import annotations

import functools
import inspect
import os
import selectors
import subprocess
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, TypeVar

from ._call import MOST_SAID, Call, Lines, Output
from ._program import program

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: Seconds that a child has for undoing its work before it is killed. Ours: it needs a fraction of one.
GRACE = 10.0

_PIECE = 1 << 16


def now(call: "Callable[P, Call[T]]", module: str = "instar") -> "Callable[P, T]":
    """The same verb, carried out when it is called."""

    @functools.wraps(call)
    def run_it(*args: "P.args", **keywords: "P.kwargs") -> T:
        return run(call(*args, **keywords))

    return public(run_it, module)


def public(function: F, module: str) -> F:
    """Shows a verb as what it is for its caller: it gives the answer, not the call."""
    shown = inspect.signature(function)
    answer = shown.return_annotation.strip("'\"")[len("Call[") : -1]
    function.__module__ = module
    setattr(function, "__signature__", shown.replace(return_annotation=answer))
    function.__annotations__ = {**function.__annotations__, "return": answer}
    return function


def run(call: "Call[T]") -> T:
    """Carries out a call."""
    with Pipes(call) as pipes:
        child = subprocess.Popen(
            pipes.command(program()),
            stdin=subprocess.DEVNULL,
            stdout=pipes.writers["answer"],
            stderr=pipes.writers["said"],
            pass_fds=pipes.passed(),
        )
        try:
            pipes.close_writers()
            pipes.read_all()
            code = child.wait()
        except BaseException:
            end(child)
            raise
    return call.result(pipes.output(code))


def end(child: "subprocess.Popen[bytes]") -> None:
    """Ends a child: it undoes what it has begun, or is killed."""
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class Pipes:
    """The pipes of a run: answer, words for people, the reason of a failure, and progress if somebody listens."""

    def __init__(self, call: "Call[Any]") -> None:
        self._call = call
        self._lines = Lines(call.progress) if call.progress else None
        self._kept: Dict[str, bytearray] = {}
        self.readers: Dict[str, int] = {}
        self.writers: Dict[str, int] = {}

    def __enter__(self) -> "Pipes":
        try:
            for name in ["answer", "said", "failure"] + (["progress"] if self._lines else []):
                self.readers[name], self.writers[name] = os.pipe()
                self._kept[name] = bytearray()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close_writers()
        while self.readers:
            os.close(self.readers.popitem()[1])

    def command(self, path: str) -> List[bytes]:
        """The command line that writes to them."""
        return self._call.command(path, self.writers["failure"], self.writers.get("progress"))

    def passed(self) -> List[int]:
        """The descriptors that the child has beside its standard ones."""
        return [self.writers[name] for name in ("failure", "progress") if name in self.writers]

    def close_writers(self) -> None:
        """The child has them now: when it ends, they end."""
        while self.writers:
            os.close(self.writers.popitem()[1])

    def read_all(self) -> None:
        """Reads all of them to their ends."""
        with selectors.DefaultSelector() as selector:
            for name, reader in self.readers.items():
                selector.register(reader, selectors.EVENT_READ, name)
            while selector.get_map():
                for key, _ in selector.select():
                    piece = os.read(key.fd, _PIECE)
                    if piece:
                        self.take(key.data, piece)
                    else:
                        selector.unregister(key.fd)

    def take(self, name: str, piece: bytes) -> None:
        """A piece of one of them has come."""
        kept = self._kept[name]
        if name == "progress" and self._lines:
            self._lines.feed(piece)
        elif name == "said":
            # Its beginning says what went wrong.
            kept += piece[: max(0, MOST_SAID - len(kept))]
        elif len(kept) + len(piece) > self._call.most_output:
            raise self._call.too_long()
        else:
            kept += piece

    def output(self, code: int) -> Output:
        """What came, when the child has ended."""
        kept = self._kept
        return Output(code, bytes(kept["answer"]), bytes(kept["said"]), bytes(kept["failure"]))
