"""When a lost or refused connection is tried again, and how soon: the table of docs/protocol.md."""

from __future__ import annotations

import random

from websockets.exceptions import ConnectionClosed

FINAL_CLOSES = frozenset({1002, 1003, 1007, 1008, 1009, 1010, 4001})
"""Closes that the same messages, or the same token, would bring about again. All others are tried again."""

CLOSE_PAUSES = {1013: 5.0}
"""Least seconds before the next try, after these closes."""

PAUSE_LEAST = 0.1
PAUSE_MOST = 30.0
"""Seconds. A pause is doubled with every try that came to nothing, from the one to the other."""

STEADY_AFTER = 5.0
"""Seconds after which a connection that had nothing to send was good all the same."""


def is_tried_again(status: int) -> bool:
    """Whether a handshake that was answered with this status may be taken later: busy, starting, or a proxy without its server."""
    return status in (408, 425, 429) or 500 <= status < 600


def close_pause(closed: ConnectionClosed) -> float:
    """Least seconds before the next try; a connection that was lost without a close counts as closed with 1006."""
    return CLOSE_PAUSES.get(closed.rcvd.code if closed.rcvd is not None else 1006, 0.0)


def retry_after(text: str | None) -> float:
    """Seconds of a `Retry-After` header; 0 where there is none, or a date."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0


class Outage:
    """The time since a connection was last good, and the tries since. It ends with the next acknowledgement, not with the next connection:
    a server that accepts and closes at once is still out of reach."""

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._since: float | None = None
        self._tries = 0

    def end(self) -> None:
        """A connection was good."""
        self._since = None
        self._tries = 0

    def pause(self, now: float, least: float = 0.0) -> float | None:
        """Called when a try has failed, or a connection was lost.

        Args:
            now: Seconds of a clock that only rises.
            least: Seconds that the server asks for.

        Returns:
            Seconds to wait before the next try: at least half of the doubled pause, by chance, and at least `least`. None when the outage
            would have lasted `seconds_max` by then; the last try is made at their end.
        """
        if self._since is None:
            self._since = now
        left = self._since + self.seconds_max - now
        if left <= 0:
            return None
        full = min(PAUSE_MOST, PAUSE_LEAST * (1 << min(self._tries, 16)))
        self._tries += 1
        return min(max(full * random.uniform(0.5, 1.0), least * random.uniform(1.0, 1.2)), left)
