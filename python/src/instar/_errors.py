"""What can go wrong. Programs decide by the class or by ``code``; the message is for people."""

from __future__ import annotations

from typing import Dict, Optional, Type


class Error(Exception):
    """A run of instar failed.

    ``code`` is one word for the kind of failure, the same for every error of a class. ``verb`` is what was run, ``exit_code``
    is that of the program, or ``None`` if a signal ended it. ``errno`` is the system's number where the system refused
    something, and is ``None`` otherwise. ``message`` is what the program said; names from images are escaped in it.
    """

    code = "unknown"

    def __init__(
        self,
        message: str,
        *,
        verb: str = "",
        exit_code: Optional[int] = None,
        errno: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.verb = verb
        self.exit_code = exit_code
        self.errno = errno

    def __reduce__(self):  # type: ignore[no-untyped-def]
        # Errors travel between processes: keywords are not among ``args``.
        return _again, (type(self), self.message, self.verb, self.exit_code, self.errno)


class ArgumentsError(Error, ValueError):
    """What was asked for makes no sense, or this image or format cannot do it."""

    code = "arguments"


class RefusedError(Error):
    """A rule or a limit forbids it. Another :class:`Policy` would allow it."""

    code = "refused"


class ImageError(Error):
    """The image is broken, or not what it is said to be, or uses what instar does not read."""

    code = "image"


class InputOutputError(Error):
    """The system did not do what it was asked to; ``errno`` is its reason."""

    code = "system"


class NoSpaceError(Error):
    """There is no space left, or no more of it for this user."""

    code = "no-space"


class BusyError(Error):
    """Another process uses the image."""

    code = "busy"


class InterruptedRunError(Error):
    """A signal ended the program."""

    code = "interrupted"


class TimedOutError(Error):
    """The run took longer than ``Policy.timeout``, or than the limit for an untrusted image."""

    code = "timed-out"


class SandboxError(Error):
    """No sandbox can be used here, or the sandboxed parser did not end as it should: a broken or hostile image may be behind that."""

    code = "sandbox"


class ProgramMissingError(Error):
    """The program is not where this package was installed."""

    code = "program-missing"


def by_code(code: object) -> Type[Error]:
    """The class of errors with that word."""
    return _CLASSES.get(code, Error) if isinstance(code, str) else Error


_CLASSES: Dict[str, Type[Error]] = {
    kind.code: kind
    for kind in (
        ArgumentsError,
        RefusedError,
        ImageError,
        InputOutputError,
        NoSpaceError,
        BusyError,
        InterruptedRunError,
        TimedOutError,
        SandboxError,
        ProgramMissingError,
    )
}


def _again(
    kind: Type[Error], message: str, verb: str, exit_code: Optional[int], errno: Optional[int]
) -> Error:
    return kind(message, verb=verb, exit_code=exit_code, errno=errno)
