"""Fleets: the calls of ``instar fleet``, and what their answers mean. Nothing runs here; ``instar.fleet`` runs it."""

from __future__ import annotations

import os
import pathlib
import tempfile
from dataclasses import dataclass, field
from typing import Any, Iterable, List, Mapping, Optional, Tuple

from ._call import Call, Output, Path, failure
from ._errors import Error
from ._results import Record, _mapping
from ._verbs import _TRUSTED, Options, Policy, _flag, _given, _json, _nothing, _options, _several, _word, safe

#: What became of the run of an item, by its exit code.
_STATES = {0: "done", 1: "failed", 75: "again"}

#: Those, and signals: negative, or above 128 as shells and containers say it.
_ENDS = frozenset(_STATES) | frozenset(range(-64, 0)) | frozenset(range(129, 256))


@dataclass(frozen=True)
class Outcome:
    """What became of one run of an item.

    ``state`` is ``done`` (now or before), ``failed`` (for good: it is not to be tried again), or ``again`` (it is to be tried
    again: the system or a signal was in the way). ``error`` is the reason if it is not done. ``exit_code`` is that of the
    program, or ``None`` if ``signal`` ended it.
    """

    item: int
    state: str
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    error: Optional[Error] = field(default=None, compare=False)


@dataclass(frozen=True)
class Item(Record):
    """An item of a plan; ``state`` is ``done``, ``failed``, ``again``, ``running`` or ``waiting``.

    The last try, if there was one, took ``milliseconds``; ``cause`` is the ``code`` of its error.
    """

    item: int
    state: str
    source: str
    target: str
    cause: Optional[str] = None
    message: Optional[str] = None
    checksum: Optional[str] = None
    milliseconds: Optional[int] = None
    tries: Optional[int] = None
    other: Mapping[str, Any] = _mapping()


@dataclass(frozen=True)
class Status(Record):
    """How far a fleet is: how many items it has, how many are in each state, and each of them in ``list``."""

    plan: str
    items: int
    done: int
    failed: int
    again: int
    running: int
    waiting: int
    in_flight: Optional[int] = None
    list: Tuple[Item, ...] = ()
    other: Mapping[str, Any] = _mapping()

    @classmethod
    def _inner(cls, name: str, value: Any) -> Any:
        return tuple(Item.from_json(each) for each in value) if name == "list" else value

    @property
    def left(self) -> int:
        """How many items are neither done nor failed."""
        return self.again + self.running + self.waiting


def plan(
    images: "Path | Iterable[Path]",
    to: Path,
    file: Path,
    *,
    format: Optional[str] = None,
    target_format: str = "raw",
    options: Optional[Options] = None,
    compress: bool = False,
    sparse_size: Optional[int] = None,
    lanes: Optional[int] = None,
    rate: Optional[int] = None,
    checksum: Optional[str] = None,
    in_flight: Optional[int] = None,
    policy: Policy = _TRUSTED,
) -> "Call[pathlib.Path]":
    """Plans to convert each of ``images`` into the directory ``to``, and writes that into ``file``.

    Engines run at most ``in_flight`` items at a time.
    """
    words = policy.words() + _flag(b"-c", compress) + _given(b"--in-flight", in_flight)
    words += _converted(format, target_format, options, sparse_size, lanes, rate)
    words += [b"--checksum=" + _word(checksum)] if checksum is not None else []
    words += [b"--to", safe(to), b"--"] + [safe(each) for each in _several(images)]
    return Call("fleet plan", words, lambda output: _write(file, output.answer))


def plan_ranges(
    image: Path,
    target: Path,
    file: Path,
    *,
    range_size: int,
    format: Optional[str] = None,
    target_format: str = "raw",
    options: Optional[Options] = None,
    sparse_size: Optional[int] = None,
    lanes: Optional[int] = None,
    rate: Optional[int] = None,
    in_flight: Optional[int] = None,
    policy: Policy = _TRUSTED,
) -> "Call[pathlib.Path]":
    """Plans to convert one enormous ``image`` into ``target``, ``range_size`` bytes an item, and writes that into ``file``.

    Engines run at most ``in_flight`` items at a time.
    """
    words = policy.words() + _given(b"--range-size", range_size) + _given(b"--in-flight", in_flight)
    words += _converted(format, target_format, options, sparse_size, lanes, rate)
    words += [b"--", safe(image), safe(target)]
    return Call("fleet plan", words, lambda output: _write(file, output.answer))


def run_item(plan: Path, item: int, *, again: bool = False, policy: Policy = _TRUSTED) -> "Call[Outcome]":
    """Runs an item of a plan, unless that was done before. One that failed for good is tried anew only with ``again``."""
    words = policy.words() + _flag(b"--again", again) + [b"--item", b"%d" % item, b"--", safe(plan)]
    return Call("fleet run", words, lambda output: _outcome(item, output), _ENDS, forgiving=True)


def status(plan: Path) -> "Call[Status]":
    """How far a fleet is."""
    words = [b"--output=json", b"--", safe(plan)]
    return Call("fleet status", words, lambda output: Status.from_json(_json(output)), frozenset(_STATES))


def finish(plan: Path, *, waive: Iterable[int] = (), verify: bool = False) -> "Call[None]":
    """Checks that every item was done, but for those that are waived, and completes the target of ranges."""
    waived = b",".join(b"%d" % each for each in waive)
    words = [b"--waive", waived] if waived else []
    return Call("fleet finish", words + _flag(b"--verify", verify) + [b"--", safe(plan)], _nothing)


def _converted(
    format: Optional[str],
    target_format: str,
    options: Optional[Options],
    sparse_size: Optional[int],
    lanes: Optional[int],
    rate: Optional[int],
) -> List[bytes]:
    words = _given(b"-f", format) + _given(b"-O", target_format) + _options(options)
    return words + _given(b"-S", sparse_size) + _given(b"-m", lanes) + _given(b"-r", rate)


def _outcome(item: int, output: Output) -> Outcome:
    # What a signal ended was not refused.
    state = _STATES.get(output.code, "again")
    error = None if state == "done" else failure("fleet run", output)
    if output.code < 0:
        return Outcome(item, state, signal=-output.code, error=error)
    return Outcome(item, state, output.code, error=error)


def _write(file: Path, plan: bytes) -> pathlib.Path:
    """Gives the file its name when it is complete: workers on other machines may look for it."""
    path = pathlib.Path(os.fsdecode(file))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as out:
            out.write(plan)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return path
