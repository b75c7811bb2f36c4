"""A run that has not begun: the words of its command line, and what is made of its answer."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from typing import Any, Callable, FrozenSet, Generic, List, Optional, TypeVar, Union

from . import _errors
from ._results import Progress

T = TypeVar("T")

#: A path as the caller has it.
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

#: What is told how far a run is.
OnProgress = Callable[[Progress], Any]

#: The answer of a run is refused if it has more bytes. Ours: a map of a million extents has 150 MiB.
MOST_OUTPUT = 256 << 20

#: Of what is said on standard error, so much is kept. Ours: nobody reads more.
MOST_SAID = 1 << 20


@dataclass
class Output:
    """What a program that has ended left behind."""

    #: Its exit code, or the number of a signal, negative.
    code: int
    answer: bytes
    said: bytes
    failure: bytes = b""


@dataclass
class Call(Generic[T]):
    """One run of the program."""

    verb: str
    #: Options and operands. Whoever runs it puts the program, the verb and descriptors before them.
    words: List[bytes]
    #: What its answer means.
    read: Callable[[Output], T]
    #: Exit codes with which a run has an answer.
    answers: FrozenSet[int] = frozenset({0})
    progress: Optional[OnProgress] = None
    most_output: int = field(default=MOST_OUTPUT)
    #: A failure is an answer, too.
    forgiving: bool = False
    #: Words before the command line: a program that starts this one.
    through: List[bytes] = field(default_factory=list)

    def command(self, program: str, failure: int, progress: Optional[int]) -> List[bytes]:
        """The command line, given the descriptors of two pipes."""
        command = [
            *self.through,
            os.fsencode(program),
            *self.verb.encode().split(),
            b"--failure=json:%d" % failure,
            # The answers that are read here are those of this release, whatever the configuration says.
            b"--qemu-version=10.0",
        ]
        if progress is not None:
            command.append(b"--progress=json:%d" % progress)
        return command + self.words

    def result(self, output: Output) -> T:
        """The answer, or the error that says why there is none."""
        if output.code in self.answers and (self.forgiving or not output.failure):
            return self.read(output)
        raise failure(self.verb, output)

    def too_long(self) -> _errors.Error:
        """The answer has more bytes than anybody wants to keep."""
        return _errors.RefusedError(
            f"the answer of instar {self.verb} has more than {self.most_output} bytes", verb=self.verb
        )


def failure(verb: str, output: Output) -> _errors.Error:
    """Why the program failed."""
    # A run that is tried in a copy of the process may say it twice; the first is the reason.
    line = output.failure.split(b"\n", 1)[0]
    cause = json.loads(line) if line else {}
    message = said(output.said)
    kind = _errors.by_code(cause.get("cause"))
    if output.code < 0:
        kind = kind if cause else _errors.InterruptedRunError
        message = message or f"instar {verb} was ended by {_signal_name(-output.code)}"
    errno = cause.get("errno")
    return kind(
        message or f"instar {verb} ended with exit code {output.code}",
        verb=verb,
        exit_code=output.code if output.code >= 0 else None,
        errno=errno if isinstance(errno, int) else None,
    )


class Lines:
    """Lines of JSON out of a pipe, piece by piece."""

    def __init__(self, hear: OnProgress) -> None:
        self._hear = hear
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Tells the listener of each line that is complete now."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            found = json.loads(line)
            self._hear(Progress(found["done"], found["total"], found["rate"], found["remaining"]))


def said(text: bytes) -> str:
    """What the program said, without its name."""
    return text.decode("utf-8", "backslashreplace").strip().removeprefix("instar: ")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
