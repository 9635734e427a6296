"""Device client of Penstock: sends events over WebSocket (`penstock.v1`), exactly once."""

from ._device import Device
from ._messages import Counts, Event, Reject
from ._errors import ConnectionLost, Fenced, PenstockError, Refused

__all__ = ["ConnectionLost", "Counts", "Device", "Event", "Fenced", "PenstockError", "Refused", "Reject"]
__version__ = "0.1.0"
