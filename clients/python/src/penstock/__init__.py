"""Device client of Penstock: sends events over WebSocket (`penstock.v1`), exactly once over dropped connections and killed servers.

Over a crash of the device itself only with `spool=`, a file that keeps the count and what is not acknowledged: without it a program that
starts again and sends again what it had sent already, is given new numbers, and its events count twice.
"""

from ._device import Device
from ._errors import ConnectionLost, Fenced, InvalidEvent, PenstockError, Refused, SpoolError
from ._messages import Counts, Event, Reject

__all__ = ["ConnectionLost", "Counts", "Device", "Event", "Fenced", "InvalidEvent", "PenstockError", "Refused", "Reject", "SpoolError"]
__version__ = "0.1.0"
