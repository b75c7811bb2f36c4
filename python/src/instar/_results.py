"""What the program answers, as values. Fields have the names of qemu-img's JSON, with ``_`` for ``-``; keys without a field are in ``other``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple, Type, TypeVar

R = TypeVar("R", bound="Record")


def _mapping() -> Any:
    # A dict has no hash, and what a key means to nobody makes no difference.
    return field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Record:
    """What all answers have in common."""

    @classmethod
    def from_json(cls: Type[R], found: Mapping[str, Any]) -> R:
        """From an object of the program's JSON. Keys that are not known are kept in ``other``."""
        names = {each.name for each in dataclasses.fields(cls)} - {"other"}
        known: Dict[str, Any] = {}
        other: Dict[str, Any] = {}
        for key, value in found.items():
            name = key.replace("-", "_")
            if name in names:
                known[name] = cls._inner(name, value)
            else:
                other[key] = value
        return cls(**known, **{"other": other})

    @classmethod
    def _inner(cls, name: str, value: Any) -> Any:
        """The value of a field that is more than a number or a word."""
        return value


@dataclass(frozen=True)
class Snapshot(Record):
    """An internal snapshot."""

    id: str
    name: str
    vm_state_size: int = 0
    date_sec: int = 0
    date_nsec: int = 0
    vm_clock_sec: int = 0
    vm_clock_nsec: int = 0
    icount: Optional[int] = None
    other: Mapping[str, Any] = _mapping()


@dataclass(frozen=True)
class FormatSpecific(Record):
    """What only images of one format have."""

    type: str
    data: Mapping[str, Any] = _mapping()
    other: Mapping[str, Any] = _mapping()


@dataclass(frozen=True)
class Child(Record):
    """A file that an image consists of."""

    name: str
    info: "Info"
    other: Mapping[str, Any] = _mapping()

    @classmethod
    def _inner(cls, name: str, value: Any) -> Any:
        return Info.from_json(value) if name == "info" else value


@dataclass(frozen=True)
class Info(Record):
    """What an image is."""

    filename: str
    format: str
    virtual_size: int
    actual_size: Optional[int] = None
    cluster_size: Optional[int] = None
    dirty_flag: bool = False
    encrypted: bool = False
    compressed: bool = False
    backing_filename: Optional[str] = None
    full_backing_filename: Optional[str] = None
    backing_filename_format: Optional[str] = None
    snapshots: Tuple[Snapshot, ...] = ()
    format_specific: Optional[FormatSpecific] = None
    children: Tuple[Child, ...] = ()
    other: Mapping[str, Any] = _mapping()

    @classmethod
    def _inner(cls, name: str, value: Any) -> Any:
        if name == "snapshots":
            return tuple(Snapshot.from_json(each) for each in value)
        if name == "children":
            return tuple(Child.from_json(each) for each in value)
        if name == "format_specific":
            return FormatSpecific.from_json(value)
        return value


@dataclass(frozen=True)
class SafetyCheck(Record):
    """One known way in which images attack programs; ``result`` is ``ok``, ``note``, ``unsafe`` or ``not checked``."""

    name: str
    result: str
    reason: Optional[str] = None
    other: Mapping[str, Any] = _mapping()


@dataclass(frozen=True)
class Safety(Record):
    """Whether an untrusted image is safe to read."""

    safe: bool
    filename: str = ""
    format: Optional[str] = None
    virtual_size: Optional[int] = None
    checks: Tuple[SafetyCheck, ...] = ()
    other: Mapping[str, Any] = _mapping()

    @classmethod
    def _inner(cls, name: str, value: Any) -> Any:
        return tuple(SafetyCheck.from_json(each) for each in value) if name == "checks" else value


@dataclass(frozen=True)
class Extent(Record):
    """A part of the disk that is stored in one way. ``offset`` is where in ``filename`` (or in the image) its bytes are, if they are anywhere."""

    start: int
    length: int
    depth: int
    present: bool
    zero: bool
    data: bool
    compressed: bool = False
    offset: Optional[int] = None
    filename: Optional[str] = None
    other: Mapping[str, Any] = _mapping()


@dataclass(frozen=True)
class Check(Record):
    """What a check found. ``findings`` is what was said of it, for people."""

    filename: str
    format: str
    check_errors: int = 0
    corruptions: int = 0
    leaks: int = 0
    corruptions_fixed: int = 0
    leaks_fixed: int = 0
    image_end_offset: Optional[int] = None
    total_clusters: Optional[int] = None
    allocated_clusters: Optional[int] = None
    fragmented_clusters: Optional[int] = None
    compressed_clusters: Optional[int] = None
    findings: str = ""
    other: Mapping[str, Any] = _mapping()

    @property
    def sound(self) -> bool:
        """Nothing is wrong with the image any more."""
        return not (self.check_errors or self.corruptions or self.leaks)


@dataclass(frozen=True)
class Measurement(Record):
    """Bytes that an image will take: now, and when its whole disk has been written."""

    required: int
    fully_allocated: int
    bitmaps: Optional[int] = None
    other: Mapping[str, Any] = _mapping()


@dataclass(frozen=True)
class Checksum(Record):
    """A checksum of a disk, equal for equal disks in any format."""

    filename: str
    algorithm: str
    checksum: str
    virtual_size: Optional[int] = None
    other: Mapping[str, Any] = _mapping()

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.checksum}"


@dataclass(frozen=True)
class Comparison:
    """Whether two images hold the same disk. ``message`` says how they differ, for people."""

    identical: bool
    message: str

    def __bool__(self) -> bool:
        return self.identical


@dataclass(frozen=True)
class Progress:
    """How far a run is, in bytes; ``rate`` in bytes and ``remaining`` in seconds, as far as they are known."""

    done: int
    total: int
    rate: int = 0
    remaining: Optional[int] = None
