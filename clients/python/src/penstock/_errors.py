"""The package's errors."""


class PenstockError(Exception):
    """The base of this package's errors."""


class Refused(PenstockError):
    """The server does not take what is asked, and would not when asked again: a bad token, a wrong address, a message it cannot read."""


class Fenced(PenstockError):
    """The source has a higher epoch by now: another device, or another run of this one, writes as it."""


class ConnectionLost(PenstockError):
    """The server could not be reached for as long as `reconnect_for` allows. Unacknowledged events may or may not be in the log."""


class InvalidEvent(PenstockError, ValueError, TypeError):
    """An event that is not sent, since no server would take it (also a ValueError and a TypeError, as `json` raises them): `code` and the text say what is wrong with it, and where."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class SpoolError(PenstockError):
    """The spool's file cannot be used: in use, of another source, unreadable, or its disk is full."""
