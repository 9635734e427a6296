"""The client."""

from __future__ import annotations

import asyncio
import json
import os
import ssl as tls
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from ._errors import ConnectionLost, Fenced, InvalidEvent, PenstockError, Refused
from ._messages import Counts, Encoded, Event, Message, Reject, encode, whole_number
from ._retry import FINAL_CLOSES, STEADY_AFTER, Outage, close_pause, is_tried_again, retry_after
from ._spool import Spool

_REJECTS_KEPT = 1000


class Device:
    """One source's way into Penstock. Use it with `async with`, from one event loop; its methods may be called by several tasks.

    What was given to it and is not acknowledged lies in memory. **A crash of this program loses that, and the count**: a program that sends
    those events again gives them new sequences, and they are there twice. `spool=` keeps both in a file; or let the events bring a
    `sequence` or an `id` of their own (`number=False`), which tells the server that it knows them.

    Args:
        url: `ws://HOST:PORT/v1/stream`, or `wss://`.
        source: Of every event.
        epoch: A higher one than before starts the count of sequences anew.
        window: Most messages that are sent and not acknowledged; the server may allow fewer.
        batch: Most events of one message of `send_many`.
        token: For `Authorization: Bearer`.
        ssl: For `wss://`.
        compress: Whether to offer permessage-deflate.
        reconnect_for: Seconds that the server may be out of reach, at the start too: without an acknowledgement, whatever it accepts.
        on_reject: Told of each event that is not taken; without it they are kept in `rejects`.
        number: Whether events without a `sequence` are given one. If not, each needs a `sequence`, or an `id` that the server
            remembers for its `ingest.dedup_window`.
        spool: A file that keeps the next sequence and what is not acknowledged, synced before `send` returns. What an earlier run left
            there is sent first. One for each device.
    """

    def __init__(
        self,
        url: str,
        source: str,
        *,
        epoch: int = 0,
        window: int = 64,
        batch: int = 500,
        token: str | None = None,
        ssl: tls.SSLContext | None = None,
        compress: bool = True,
        reconnect_for: float = 60.0,
        on_reject: Callable[[Reject], None] | None = None,
        number: bool = True,
        spool: str | os.PathLike[str] | None = None,
    ) -> None:
        if window < 1 or batch < 1:
            raise ValueError("window and batch are at least 1")
        self.source = source
        self.epoch = epoch
        self.counts = Counts()
        self.offsets: dict[str, int] = {}
        """Partition to the next offset, of all that is acknowledged: what a query's `after=` takes."""
        self.rejects: deque[Reject] = deque(maxlen=_REJECTS_KEPT)
        self._url = f"{url}{'&' if '?' in url else '?'}source={quote(source, safe='')}"
        self._window = window
        self._batch = batch
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._ssl = ssl
        self._compression = "deflate" if compress else None
        self._outage = Outage(reconnect_for)
        self._on_reject = on_reject
        self._number = number
        self._spool = Spool(spool, source) if spool is not None else None
        self._next = 1
        self._began: tuple[int, int] | None = None  # the server's (epoch, sequence) at the first welcome
        self._waiting: deque[Message] = deque()  # not acknowledged, in order; the first `_sent` of them are on the connection
        self._sent = 0
        self._acked = 0  # messages of this connection
        self._totals = (0, 0, 0)  # its appended, duplicates, rejected
        self._opened_at = 0.0
        self._allowed = window
        self._bytes_max = 1 << 20
        self._changed = asyncio.Condition()
        self._sending = asyncio.Lock()
        self._failure: PenstockError | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Device":
        """Reads the spool, connects, and learns where the source stands."""
        try:
            if self._spool is not None:
                await self._take_spooled(self._spool)
            connection = await self._open()
        except BaseException:
            await self._close_spool()
            raise
        self._task = asyncio.create_task(self._run(connection), name=f"penstock {self.source}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Waits until everything is acknowledged, unless the block failed."""
        try:
            if kind is None:
                await self.flush()
        finally:
            await self.close()

    @property
    def next_sequence(self) -> int:
        """The sequence of the next event without one. With a spool, all below it are stored for good, also over a crash."""
        return self._next

    async def send(self, event: Event) -> None:
        """Sends one event as a message of its own; waits while the window is full.

        Raises:
            InvalidEvent: The event cannot be sent, and was not: it is also a ValueError.
        """
        await self._send([event], refuses=True)

    async def send_many(self, events: Iterable[Event] | AsyncIterable[Event]) -> None:
        """Sends events in messages of up to `batch`; waits whenever the window is full. An event that cannot be sent is rejected as
        the server's are, with its reason, and the others go."""
        batch: list[Event] = []
        if isinstance(events, AsyncIterable):
            async for event in events:
                batch.append(event)
                if len(batch) == self._batch:
                    await self._send(batch)
                    batch = []
        else:
            for event in events:
                batch.append(event)
                if len(batch) == self._batch:
                    await self._send(batch)
                    batch = []
        if batch:
            await self._send(batch)

    async def flush(self) -> None:
        """Returns once every event sent so far is answered for."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._failure is not None or not self._waiting)
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Closes the connection; what is not acknowledged is given up, or stays in the spool."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._failure is None:
            await self._fail(PenstockError("the device is closed: use it within 'async with'"))
        # Not in the middle of an event's way into the spool.
        async with self._sending:
            await self._close_spool()

    # The messages to send.

    async def _send(self, events: list[Event], refuses: bool = False) -> None:
        # One after the other, so that sequences go out in order.
        async with self._sending:
            async with self._changed:
                await self._changed.wait_for(lambda: self._failure is not None or len(self._waiting) < self._window)
                if self._failure is not None:
                    raise self._failure
                if self._task is None:
                    raise PenstockError("the device is closed: use it within 'async with'")
            encoded: list[Encoded] = []
            for event in events:
                try:
                    encoded.append(self._encoded(event))
                except InvalidEvent as error:
                    if refuses:
                        raise
                    self.counts.sent += 1
                    self._reject(event, error.code, error.detail)
            if self._spool is not None and encoded:
                rows = await self._spool.append([event.text for event in encoded], self.epoch, self._next)
                encoded = [event._replace(row=row) for event, row in zip(encoded, rows)]
            async with self._changed:
                self._waiting.extend(self._messages(encoded))
                self.counts.sent += len(encoded)
                self._changed.notify_all()

    def _encoded(self, event: Event) -> Encoded:
        """The event with what it lacks. The count goes on only if it can be sent."""
        whole = dict(event)
        if whole.setdefault("source", self.source) != self.source:
            raise InvalidEvent("wrong_source", f"a device of {self.source!r} sends no event of {whole['source']!r}")
        if self.epoch and whole.get("epoch") is None:
            whole["epoch"] = self.epoch
        epoch = whole_number(whole, "epoch") if whole.get("epoch") is not None else 0
        sequence: int | None = None
        if whole.get("sequence") is not None:
            sequence = whole_number(whole, "sequence")
        elif self._number:
            sequence = whole["sequence"] = self._next
        elif not whole.get("id"):
            raise InvalidEvent("missing_id", "an event needs a sequence or an id where the device does not number it (number=False)")
        text = encode(whole)
        if len(text.encode()) > self._bytes_max:
            raise InvalidEvent("too_big", self._too_big(len(text.encode())))
        # One below the count was sent before, by another run: the server says so. The own count is not turned back by it.
        if sequence is not None and epoch == self.epoch:
            self._next = max(self._next, sequence + 1)
        return Encoded(event, text, epoch, sequence)

    def _messages(self, events: list[Encoded]) -> list[Message]:
        """In order, none larger than the server takes, nor of more events than a batch."""
        messages: list[Message] = []
        size = 0
        for event in events:
            length = len(event.text.encode()) + 1
            if not messages or len(messages[-1].events) == self._batch or size + length + 1 > self._bytes_max:
                messages.append(Message([]))
                size = 1
            messages[-1].events.append(event)
            size += length
        return messages

    async def _take_spooled(self, spool: Spool) -> None:
        """The messages that an earlier run left."""
        following, rows = await spool.open(self.epoch)
        events = []
        for row, text in rows:
            event = json.loads(text)
            sequence = whole_number(event, "sequence") if event.get("sequence") is not None else None
            events.append(Encoded(event, text, whole_number(event, "epoch") if "epoch" in event else 0, sequence, row))
        self._next = max(self._next, following)
        self._waiting.extend(self._messages(events))
        for message in self._waiting:
            message.was_sent = message.was_spooled = True
        self.counts.sent += len(events)

    async def _close_spool(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            await spool.close()

    def _too_big(self, size: int) -> str:
        return f"the event has {size} bytes: the server takes {self._bytes_max} at most"

    def _reject(self, event: Event, code: str, detail: str) -> None:
        self.counts.rejected += 1
        told = Reject(event, code, detail)
        if self._on_reject is not None:
            self._on_reject(told)
        else:
            self.rejects.append(told)

    # The connection.

    async def _run(self, connection: ClientConnection) -> None:
        try:
            while True:
                try:
                    async with asyncio.TaskGroup() as both:
                        both.create_task(self._write(connection))
                        both.create_task(self._read(connection))
                except BaseExceptionGroup as group:
                    lost = self._judge(group.exceptions[0])
                finally:
                    await connection.close()
                self.counts.reconnects += 1
                if not self._waiting and asyncio.get_running_loop().time() - self._opened_at >= STEADY_AFTER:
                    self._outage.end()
                await self._pause(lost, close_pause(lost))
                connection = await self._open()
        except PenstockError as error:
            await self._fail(error)
        except Exception as error:
            await self._fail(PenstockError(f"the client failed: {error!r}"))

    def _judge(self, error: BaseException) -> ConnectionClosed:
        """Returns where the connection may be opened again."""
        if not isinstance(error, ConnectionClosed):
            raise error
        close = error.rcvd
        if close is not None and close.code in FINAL_CLOSES:
            raise Refused(f"closed by the server: {close.code} {close.reason}")
        return error

    async def _fail(self, error: PenstockError) -> None:
        async with self._changed:
            self._failure = error
            self._changed.notify_all()

    async def _pause(self, problem: Exception, least: float) -> None:
        pause = self._outage.pause(asyncio.get_running_loop().time(), least)
        if pause is None:
            raise ConnectionLost(f"no acknowledgement from {self._url} for {self._outage.seconds_max} s: {problem!r}") from problem
        await asyncio.sleep(pause)

    async def _open(self) -> ClientConnection:
        """Connects, for as long as it may take, and learns what the server has."""
        while True:
            least = 0.0
            try:
                connection = await connect(
                    self._url,
                    subprotocols=[Subprotocol("penstock.v1")],
                    additional_headers=self._headers,
                    ssl=self._ssl,
                    compression=self._compression,
                    max_size=None,
                    open_timeout=max(1.0, min(10.0, self._outage.seconds_max)),
                )
                try:
                    welcome = await asyncio.wait_for(connection.recv(), timeout=10.0)
                    await self._begin(json.loads(welcome))
                    return connection
                except BaseException as error:
                    await connection.close()
                    if isinstance(error, (ValueError, KeyError, TypeError)):
                        raise Refused(f"what answers at {self._url} speaks no penstock.v1: {error!r}") from error
                    raise
            except InvalidStatus as error:
                status = error.response.status_code
                if not is_tried_again(status):
                    body = (error.response.body or b"").decode("utf-8", "replace")
                    raise Refused(f"the server answers {status}: {body[:500]}") from error
                least = retry_after(error.response.headers.get("Retry-After"))
                problem: Exception = error
            except ConnectionClosed as error:
                self._judge(error)
                least = close_pause(error)
                problem = error
            except (OSError, InvalidMessage, TimeoutError, EOFError) as error:
                problem = error
            except InvalidHandshake as error:
                raise Refused(f"what answers at {self._url} speaks no penstock.v1: {error}") from error
            await self._pause(problem, least)

    async def _begin(self, welcome: dict[str, Any]) -> None:
        stands = welcome["resume"].get(self.source)
        async with self._changed:
            self._sent = self._acked = 0
            self._totals = (0, 0, 0)
            self._opened_at = asyncio.get_running_loop().time()
            self._allowed = min(self._window, int(welcome["limits"]["unacked_messages"]))
            self._bytes_max = int(welcome["limits"]["message_bytes"])
            # A source that the server does not know has nothing there.
            last = (self.epoch, -1) if stands is None else (int(stands["epoch"]), int(stands["sequence"]))
            if last[0] > self.epoch:
                raise Fenced(f"{self.source} is at epoch {last[0]} by now, above {self.epoch}")
            if stands is not None and last[0] == self.epoch:
                self._next = max(self._next, last[1] + 1)
            began = self._began = self._began or last
            answered = [message.events[index] for message in self._waiting for index in message.rejected]
            again = [part for message in self._waiting for part in message.again(last, began).split(self._bytes_max) if part.events]
            self._waiting.clear()
            for message in again:
                # Taken while another server's limit, or none, was known.
                if len(message.events) == 1 and (size := len(message.text.encode())) > self._bytes_max:
                    answered += message.events
                    self._reject(message.events[0].event, "too_big", self._too_big(size))
                else:
                    self._waiting.append(message)
            self._changed.notify_all()
        if self._spool is not None and answered:
            await self._spool.remove(answered)

    async def _write(self, connection: ClientConnection) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._sent < len(self._waiting) and self._sent < self._allowed)
                message = self._waiting[self._sent]
                self._sent += 1
                message.was_sent = True
            try:
                await connection.send(message.text)
            except ConnectionClosed:
                # The server's earlier answers are read to their end first.
                return

    async def _read(self, connection: ClientConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            answered: list[Encoded] = []
            async with self._changed:
                if message["kind"] == "ack":
                    answered = self._take_ack(message)
                elif message["kind"] == "reject":
                    self._take_reject(message)
                self._changed.notify_all()
            if self._spool is not None and answered:
                await self._spool.remove(answered)
        await connection.wait_closed()
        raise ConnectionClosed(connection.protocol.close_rcvd, connection.protocol.close_sent, connection.protocol.close_rcvd_then_sent)

    def _take_ack(self, ack: dict[str, Any]) -> list[Encoded]:
        """Returns the events that are answered for."""
        answered: list[Encoded] = []
        candidates = 0
        while self._acked < ack["messages"]:
            message = self._waiting.popleft()
            answered += message.events
            candidates += len(message.candidates - message.rejected)
            self._sent -= 1
            self._acked += 1
            self._outage.end()
        appended, duplicates, _ = self._totals
        # Sent again and on disk already: for this connection a duplicate, for the device its first answer.
        resumed = min(candidates, ack["duplicates"] - duplicates)
        self.counts.appended += ack["appended"] - appended
        self.counts.duplicates += ack["duplicates"] - duplicates - resumed
        self.counts.resumed += resumed
        self._totals = (ack["appended"], ack["duplicates"], ack["rejected"])
        for partition, offset in ack["offsets"].items():
            self.offsets[partition] = max(offset, self.offsets.get(partition, 0))
        return answered

    def _take_reject(self, reject: dict[str, Any]) -> None:
        number = reject["message"] - self._acked - 1
        if not 0 <= number < len(self._waiting):
            return
        message = self._waiting[number]
        # The last reject of a message with many stands for the rest of them: which they are is not told.
        self.counts.rejected += reject.get("count", 1) - 1
        indexes = range(len(message.events)) if reject["event"] is None else [reject["event"]]
        for index in indexes:
            if index not in message.rejected:
                message.rejected.add(index)
                self._reject(message.events[index].event, reject["code"], reject["detail"])
