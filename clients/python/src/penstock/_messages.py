"""Messages, and their results."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ._errors import InvalidEvent

Event = Mapping[str, Any]
"""The members of a CloudEvents event: `type`, `data`, `time`, `id`, `subject`, extension attributes."""

_SEQUENCE_MAX = 2**64 - 1


@dataclass(frozen=True)
class Reject:
    """An event that was not taken."""

    event: Event
    """As it was given to the client."""
    code: str
    """The server's, as `invalid_time`, `fenced`, …: docs/ingest.md lists them. Or the client's own: `not_json`, `wrong_source`,
    `invalid_sequence`, `missing_id`, `too_big`."""
    detail: str


@dataclass
class Counts:
    """Counts of events: sent = appended + duplicates + rejected + resumed, once all are answered for."""

    sent: int = 0
    """Given to the client, and found in its spool at the start."""
    appended: int = 0
    duplicates: int = 0
    rejected: int = 0
    resumed: int = 0
    """Sent before, by this client or from its spool, and on disk when they were sent again: only their acknowledgement was lost."""
    reconnects: int = 0


class Encoded(NamedTuple):
    """An event as it travels."""

    event: Event
    text: str
    epoch: int
    sequence: int | None
    """None where only the event's `id` tells it from others."""
    row: int = 0
    """Its row in the spool, if there is one."""


@dataclass
class Message:
    """One WebSocket message, kept until it is acknowledged."""

    events: list[Encoded]
    candidates: set[int] = field(default_factory=set)
    """Indexes of events sent before that the server may have: it takes none of them again, and says which it never took."""
    rejected: set[int] = field(default_factory=set)
    """Indexes of events whose reject has been told."""
    was_sent: bool = False
    """Whether a connection was given it, this one or one before."""
    was_spooled: bool = False
    """Whether the spool had it from an earlier run."""

    @property
    def text(self) -> str:
        if len(self.events) == 1:
            return self.events[0].text
        return "[" + ",".join(event.text for event in self.events) + "]"

    def split(self, bytes_max: int) -> list["Message"]:
        """Messages of at most so many bytes, as far as single events are."""
        if len(self.events) == 1 or len(self.text.encode()) <= bytes_max:
            return [self]
        middle = len(self.events) // 2
        halves = [range(middle), range(middle, len(self.events))]
        parts = [
            Message(
                [self.events[index] for index in half],
                {index - half.start for index in half if index in self.candidates},
                {index - half.start for index in half if index in self.rejected},
                self.was_sent,
                self.was_spooled,
            )
            for half in halves
        ]
        return [message for part in parts for message in part.split(bytes_max)]

    def again(self, last: tuple[int, int], began: tuple[int, int]) -> "Message":
        """The messages still to be answered for, on a new connection.

        Args:
            last: The server's (epoch, sequence) of the source now.
            began: And when this client began: what is not above it was stored by another run, and is a duplicate, unless
                that run left it in the spool.

        A rejected event is answered for. One at or below `last` may be on disk, or rejected while those after it were
        taken: only the server knows, so it is asked again.
        """
        events = [event for index, event in enumerate(self.events) if index not in self.rejected]
        candidates: set[int] = set()
        if self.was_spooled:
            began = (-1, -1)
        if self.was_sent:
            for index, event in enumerate(events):
                if event.sequence is None or began < (event.epoch, event.sequence) <= last and event.epoch == last[0]:
                    candidates.add(index)
        return Message(events, candidates, was_sent=self.was_sent, was_spooled=self.was_spooled)


def encode(event: Mapping[str, Any]) -> str:
    """The event's JSON.

    Raises:
        InvalidEvent: A value that JSON cannot hold, with its place.
    """
    try:
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    except (TypeError, ValueError, RecursionError) as error:
        place = next(_unfit(event, ""), None)
        raise InvalidEvent("not_json", place or f"the event is no JSON: {error}") from error


def _unfit(value: Any, path: str) -> Iterator[str]:
    """Where, and what, JSON cannot hold."""
    pending: list[tuple[Any, str, int]] = [(value, path, 0)]
    while pending:
        value, path, depth = pending.pop()
        name = path or "the event"
        if depth > 64:
            yield f"{name} is nested deeper than 64 levels"
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{name} is {value}, which JSON cannot hold: send null, or leave it out"
        elif isinstance(value, str):
            if any("\ud800" <= character <= "\udfff" for character in value):
                yield f"{name} holds half a surrogate pair, which UTF-8 cannot"
        elif isinstance(value, dict):
            pending += [(member, f"{path}.{key}" if path else str(key), depth + 1) for key, member in reversed(value.items())]
        elif isinstance(value, (list, tuple)):
            pending += [(member, f"{path}[{index}]", depth + 1) for index, member in reversed(list(enumerate(value)))]
        elif value is not None and not isinstance(value, (bool, int, float)):
            yield f"{name} is a {type(value).__name__}, which JSON cannot hold"


def whole_number(event: Event, name: str) -> int:
    """The event's `sequence` or `epoch`: a whole number, or its digits.

    Raises:
        InvalidEvent: It is none from 0 to 2^64 − 1.
    """
    value = event[name]
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _SEQUENCE_MAX:
        raise InvalidEvent(f"invalid_{name}", f"{name} is {value!r}: a whole number from 0 to 2^64 − 1 is needed")
    return value
