"""What travels, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]
"""The members of a CloudEvents event: `type`, `data`, `time`, `id`, `subject`, extension attributes."""


@dataclass(frozen=True)
class Reject:
    """An event that was not taken."""

    event: Event
    """As it was sent."""
    code: str
    """Stable: `invalid_time`, `fenced`, …; docs/ingest.md lists them."""
    detail: str


@dataclass
class Counts:
    """Of events: sent = appended + duplicates + rejected + resumed, once all is answered for."""

    sent: int = 0
    """Given to the client."""
    appended: int = 0
    duplicates: int = 0
    rejected: int = 0
    resumed: int = 0
    """On disk when a connection was opened again; their acknowledgement was lost with the one before, and the server confirmed them."""
    reconnects: int = 0


@dataclass
class Message:
    """One WebSocket message: events with rising sequences, kept until it is acknowledged."""

    events: list[dict[str, Any]]
    resumed: set[int] = field(default_factory=set)
    """Indexes of events sent before that are not above what the server has: it takes none of them again, and says which it never took."""
    rejected: set[int] = field(default_factory=set)
    """Indexes of events whose reject has been told."""
    was_sent: bool = False
    """Whether a connection was given it, this one or one before."""
    text: str = field(init=False)

    def __post_init__(self) -> None:
        events = self.events[0] if len(self.events) == 1 else self.events
        self.text = json.dumps(events, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    def split(self, bytes_max: int) -> list["Message"]:
        """Messages of at most so many bytes."""
        if len(self.text.encode()) <= bytes_max:
            return [self]
        if len(self.events) == 1:
            raise ValueError(f"an event is longer than the {bytes_max} bytes that the server takes")
        middle = len(self.events) // 2
        return [part for half in (self.events[:middle], self.events[middle:]) for part in Message(half).split(bytes_max)]

    def again(self, last: tuple[int, int]) -> "Message":
        """What is still to be answered for, on a connection whose welcome says that `last` is the server's (epoch, sequence).

        A rejected event is answered for. One at or below `last` may be on disk, or rejected while those after it were
        taken: only the server knows, so it is asked again.
        """
        events = [event for index, event in enumerate(self.events) if index not in self.rejected]
        resumed: set[int] = set()
        if self.was_sent:
            for index, event in enumerate(events):
                epoch, sequence = position(event)
                if epoch == last[0] and sequence <= last[1]:
                    resumed.add(index)
        return Message(events, resumed, was_sent=self.was_sent)


def position(event: Event) -> tuple[int, int]:
    return int(event.get("epoch") or 0), int(event["sequence"])
