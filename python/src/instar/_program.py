"""Where the program is. It came with this package; nothing is looked for on ``PATH``."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sysconfig
from typing import Iterator

from ._errors import ProgramMissingError

DISTRIBUTION = "instar-img"
_NAME = "instar"


@functools.lru_cache(maxsize=None)
def program() -> str:
    """The path of the program that this package runs."""
    for path in _places():
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise ProgramMissingError(
        f"the program {_NAME} is not where {DISTRIBUTION} was installed; reinstall the package"
    )


def _places() -> Iterator[str]:
    # The record of what was installed knows, whichever way that was done.
    try:
        files = importlib.metadata.distribution(DISTRIBUTION).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == _NAME and file.parent.name == "bin":
            yield os.path.abspath(str(file.locate()))
    # Where pip puts it that is told a directory (--target) beside this package.
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin", _NAME)
    scripts = sysconfig.get_path("scripts")
    if scripts:
        yield os.path.join(scripts, _NAME)
