"""Reads, converts and checks disk images, hostile ones too.

Each verb runs the program ``instar``, which parses images in a sandbox; no byte of an image is parsed in Python::

    import instar

    print(instar.info("disk.qcow2").virtual_size)
    instar.convert("disk.qcow2", "disk.raw", progress=lambda p: print(p.done, p.total))

    upload = instar.Policy(untrusted=True, timeout=600)
    try:
        instar.convert("upload.vmdk", "disk.qcow2", target_format="qcow2", policy=upload)
    except instar.ImageError as error:
        print("broken:", error)

:mod:`instar.aio` has the same verbs for asyncio.
"""

from . import _verbs
from ._errors import (
    ArgumentsError,
    BusyError,
    Error,
    ImageError,
    InputOutputError,
    InterruptedRunError,
    NoSpaceError,
    ProgramMissingError,
    RefusedError,
    SandboxError,
    TimedOutError,
)
from ._program import program
from ._results import (
    Check,
    Checksum,
    Child,
    Comparison,
    Extent,
    FormatSpecific,
    Info,
    Measurement,
    Progress,
    Safety,
    SafetyCheck,
    Snapshot,
)
from ._run import now as _now
from ._verbs import Policy

__all__ = [
    "ArgumentsError",
    "BusyError",
    "Check",
    "Checksum",
    "Child",
    "Comparison",
    "Error",
    "Extent",
    "FormatSpecific",
    "ImageError",
    "Info",
    "InputOutputError",
    "InterruptedRunError",
    "Measurement",
    "NoSpaceError",
    "Policy",
    "ProgramMissingError",
    "Progress",
    "RefusedError",
    "Safety",
    "SafetyCheck",
    "SandboxError",
    "Snapshot",
    "TimedOutError",
    "chain",
    "check",
    "checksum",
    "compare",
    "convert",
    "create",
    "info",
    "map",
    "measure",
    "program",
    "safety",
]

chain = _now(_verbs.chain)
check = _now(_verbs.check)
checksum = _now(_verbs.checksum)
compare = _now(_verbs.compare)
convert = _now(_verbs.convert)
create = _now(_verbs.create)
info = _now(_verbs.info)
map = _now(_verbs.map)
measure = _now(_verbs.measure)
safety = _now(_verbs.safety)
