"""The verbs: what they are called with, and what their answers mean. Nothing runs here; ``instar`` and ``instar.aio`` run it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ._call import Call, OnProgress, Output, Path, said
from ._results import Check, Checksum, Comparison, Extent, Info, Measurement, Safety

#: Options of a format: ``{"cluster_size": "2M", "lazy_refcounts": True}``.
Options = Mapping[str, Union[str, int, bool]]


@dataclass(frozen=True)
class Policy:
    """How far images are trusted, and what a run may use.

    What is left out is as the configuration of the machine says: see docs/configuration.md.
    """

    #: Open nothing that an image names, refuse ambiguous formats, cap size and time.
    untrusted: bool = False
    #: Directories in which every image may name files.
    allow_dirs: Tuple[Path, ...] = ()
    #: Directories in which images are somebody else's.
    untrusted_dirs: Tuple[Path, ...] = ()
    #: ``auto``, ``kvm`` or ``process``.
    sandbox: Optional[str] = None
    #: Seconds.
    timeout: Optional[float] = None
    #: Bytes of memory of the sandbox.
    memory: Optional[int] = None
    #: Largest virtual size, in bytes.
    max_size: Optional[int] = None
    #: Largest target, in bytes.
    max_output: Optional[int] = None
    #: Longest backing chain.
    max_chain: Optional[int] = None

    def words(self) -> List[bytes]:
        """Its options."""
        words = [b"--untrusted"] if self.untrusted else []
        words += [b"--allow-dir=" + safe(each) for each in _several(self.allow_dirs)]
        words += [b"--untrusted-dir=" + safe(each) for each in _several(self.untrusted_dirs)]
        for name in ("sandbox", "timeout", "memory", "max_size", "max_output", "max_chain"):
            value = getattr(self, name)
            if value is not None:
                words.append(b"--%s=%s" % (name.replace("_", "-").encode(), _word(value)))
        return words


_TRUSTED = Policy()


def info(
    path: Path,
    *,
    format: Optional[str] = None,
    share: bool = False,
    policy: Policy = _TRUSTED,
) -> "Call[Info]":
    """What an image is. No file that it names is opened."""
    words = _source(format, share, policy) + [b"--output=json", b"--", safe(path)]
    return Call("info", words, lambda output: Info.from_json(_json(output)))


def chain(
    path: Path,
    *,
    format: Optional[str] = None,
    share: bool = False,
    policy: Policy = _TRUSTED,
) -> "Call[Tuple[Info, ...]]":
    """What an image and each layer below it are, the image first. Layers are opened as the policy allows."""
    words = _source(format, share, policy) + [b"--output=json", b"--backing-chain", b"--", safe(path)]
    return Call("info", words, lambda output: tuple(Info.from_json(each) for each in _json(output)))


def safety(
    path: Path,
    *,
    format: Optional[str] = None,
    share: bool = False,
    policy: Policy = _TRUSTED,
) -> "Call[Safety]":
    """Whether an untrusted image is safe to read: a verdict for each known risk. No file that it names is opened."""
    words = _source(format, share, policy) + [b"--output=json", b"--safety", b"--", safe(path)]
    answers = frozenset({0, 1})
    return Call("info", words, lambda output: Safety.from_json(_json(output)), answers)


def map(
    path: Path,
    *,
    format: Optional[str] = None,
    start: Optional[int] = None,
    length: Optional[int] = None,
    share: bool = False,
    policy: Policy = _TRUSTED,
) -> "Call[Tuple[Extent, ...]]":
    """Where each part of the disk is stored."""
    words = _source(format, share, policy) + [b"--output=json"]
    words += _given(b"--start-offset", start) + _given(b"--max-length", length) + [b"--", safe(path)]
    return Call("map", words, lambda output: tuple(Extent.from_json(each) for each in _json(output)))


def check(
    path: Path,
    *,
    format: Optional[str] = None,
    repair: Optional[str] = None,
    share: bool = False,
    policy: Policy = _TRUSTED,
) -> "Call[Check]":
    """Whether an image is sound. ``repair`` is ``"leaks"`` or ``"all"``. A broken image is an answer, and no error."""
    words = _source(format, share, policy) + [b"--output=json"]
    words += _given(b"-r", repair) + [b"--", safe(path)]
    return Call("check", words, _checked, frozenset({0, 2, 3}))


def measure(
    path: Optional[Path] = None,
    *,
    size: Optional[int] = None,
    format: Optional[str] = None,
    target_format: str = "raw",
    options: Optional[Options] = None,
    snapshot: Optional[str] = None,
    share: bool = False,
    policy: Policy = _TRUSTED,
) -> "Call[Measurement]":
    """How much space an image will take: one that holds the disk in ``path``, or an empty one of ``size`` bytes."""
    if (path is None) == (size is None):
        raise ValueError("measure takes either a path or a size")
    words = _source(format, share, policy) + [b"--output=json"] + _given(b"-O", target_format)
    words += _options(options) + _snapshot(snapshot) + _given(b"--size", size)
    words += [b"--", safe(path)] if path is not None else []
    return Call("measure", words, lambda output: Measurement.from_json(_json(output)))


def compare(
    left: Path,
    right: Path,
    *,
    left_format: Optional[str] = None,
    right_format: Optional[str] = None,
    strict: bool = False,
    share: bool = False,
    progress: Optional[OnProgress] = None,
    policy: Policy = _TRUSTED,
) -> "Call[Comparison]":
    """Whether two images hold the same disk."""
    words = _source(left_format, share, policy) + _given(b"-F", right_format)
    words += _flag(b"-s", strict) + [b"--", safe(left), safe(right)]
    read = lambda output: Comparison(output.code == 0, said(output.answer))  # noqa: E731
    return Call("compare", words, read, frozenset({0, 1}), progress)


def checksum(
    path: Path,
    *,
    algorithm: str = "blake3",
    format: Optional[str] = None,
    snapshot: Optional[str] = None,
    lanes: Optional[int] = None,
    share: bool = False,
    progress: Optional[OnProgress] = None,
    policy: Policy = _TRUSTED,
) -> "Call[Checksum]":
    """A checksum of the disk inside an image: the same for the same disk in any format."""
    words = _source(format, share, policy) + [b"--output=json"] + _given(b"-a", algorithm)
    words += _snapshot(snapshot) + _given(b"-m", lanes) + [b"--", safe(path)]
    return Call("checksum", words, lambda output: Checksum.from_json(_json(output)), progress=progress)


def create(
    path: Path,
    size: Optional[int] = None,
    *,
    format: str = "raw",
    options: Optional[Options] = None,
    backing: Optional[Path] = None,
    backing_format: Optional[str] = None,
    policy: Policy = _TRUSTED,
) -> "Call[None]":
    """Makes an empty image of ``size`` bytes, or a layer above ``backing``. An existing file stays until the new one is complete."""
    words = policy.words() + [b"-q"] + _given(b"-f", format) + _options(options)
    words += _backing(backing, backing_format) + [b"--", safe(path)]
    words += [] if size is None else [_word(size)]
    return Call("create", words, _nothing)


def convert(
    source: Union[Path, Sequence[Path]],
    target: Path,
    *,
    format: Optional[str] = None,
    target_format: str = "raw",
    options: Optional[Options] = None,
    backing: Optional[Path] = None,
    backing_format: Optional[str] = None,
    compress: bool = False,
    snapshot: Optional[str] = None,
    into_existing: bool = False,
    target_is_zero: bool = False,
    sparse_size: Optional[int] = None,
    salvage: bool = False,
    bitmaps: bool = False,
    checksum: Optional[str] = None,
    lanes: Optional[int] = None,
    rate: Optional[int] = None,
    share: bool = False,
    progress: Optional[OnProgress] = None,
    policy: Policy = _TRUSTED,
) -> "Call[Optional[Checksum]]":
    """Copies the disk in ``source`` (or in several, one behind the other) into a new image.

    The target appears under its name when it is complete; an existing target is overwritten in place. With ``checksum``
    (``"blake3"`` or ``"sha256"``), the answer is the checksum of the disk, computed while it is copied.
    """
    words = _source(format, share, policy) + _given(b"-O", target_format) + _options(options)
    words += _based(backing, backing_format) + _snapshot(snapshot)
    words += _flag(b"-c", compress) + _flag(b"-n", into_existing) + _flag(b"--target-is-zero", target_is_zero)
    words += _flag(b"--salvage", salvage) + _flag(b"--bitmaps", bitmaps)
    words += _given(b"-S", sparse_size) + _given(b"-m", lanes) + _given(b"-r", rate)
    words += [b"--checksum=" + _word(checksum)] if checksum is not None else []
    words += [b"--"] + [safe(each) for each in _several(source)] + [safe(target)]
    name = os.fsdecode(target)
    return Call("convert", words, lambda output: _digest(output, name), progress=progress)


def safe(path: Path) -> bytes:
    """A path as the program takes it for nothing but a path: no option, protocol, tree or stream."""
    word = os.fsencode(path)
    if not word:
        raise ValueError("a path is empty")
    if b"\0" in word:
        raise ValueError("a path has a null byte")
    if word.startswith(b"/") or not (word.startswith(b"-") or b":" in word):
        return word
    return b"./" + word


def _source(format: Optional[str], share: bool, policy: Policy) -> List[bytes]:
    return policy.words() + _given(b"-f", format) + _flag(b"-U", share)


def _several(paths: Union[Path, Iterable[Path]]) -> "Iterable[Path]":
    if isinstance(paths, (str, bytes, os.PathLike)):
        return (paths,)
    return tuple(paths)


def _flag(name: bytes, given: bool) -> List[bytes]:
    return [name] if given else []


def _given(name: bytes, value: Union[str, int, None]) -> List[bytes]:
    return [] if value is None else [name, _word(value)]


def _word(value: Union[str, int, float, bool]) -> bytes:
    if isinstance(value, bool):
        return b"on" if value else b"off"
    word = os.fsencode(value) if isinstance(value, str) else str(value).encode()
    if b"\0" in word:
        raise ValueError("a value has a null byte")
    return word


def _escaped(value: bytes) -> bytes:
    # In a list of options, a comma ends a value unless it is doubled.
    return value.replace(b",", b",,")


def _options(options: Optional[Options]) -> List[bytes]:
    words: List[bytes] = []
    for name, value in (options or {}).items():
        if not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
            raise ValueError(f"{name!r} is not the name of an option")
        words += [b"-o", b"%s=%s" % (name.encode(), _escaped(_word(value)))]
    return words


def _snapshot(name: Optional[str]) -> List[bytes]:
    # By its name alone: the bare argument can mean a number, too.
    return [] if name is None else [b"-l", b"snapshot.name=" + _escaped(_word(name))]


def _backing(backing: Optional[Path], format: Optional[str]) -> List[bytes]:
    return ([] if backing is None else [b"-b", safe(backing)]) + _given(b"-F", format)


def _based(backing: Optional[Path], format: Optional[str]) -> List[bytes]:
    return ([] if backing is None else [b"-B", safe(backing)]) + _given(b"-F", format)


def _json(output: Output) -> Any:
    return json.loads(output.answer.decode("utf-8", "surrogateescape"))


def _nothing(output: Output) -> None:
    return None


def _checked(output: Output) -> Check:
    return Check.from_json({**_json(output), "findings": said(output.said)})


def _digest(output: Output, name: str) -> Optional[Checksum]:
    # ALGORITHM:DIGEST, two spaces, a name: the program's own words up to the first space.
    line, _, _ = output.answer.decode("utf-8", "surrogateescape").partition(" ")
    if not line:
        return None
    algorithm, _, digest = line.partition(":")
    return Checksum(name, algorithm, digest)
