"""The client."""

from __future__ import annotations

import asyncio
import json
import random
import ssl as tls
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from ._errors import ConnectionLost, Fenced, PenstockError, Refused
from ._messages import Counts, Event, Message, Reject

_REJECTS_KEPT = 1000
# Closes that the same messages would bring about again.
_FINAL_CLOSES = {1003, 1007, 1008, 1009, 4001}


class Device:
    """One source's way into Penstock. Use it with `async with`, from one event loop; its methods may be called by several tasks.

    Args:
        url: `ws://HOST:PORT/v1/stream`, or `wss://`.
        source: Of every event.
        epoch: A higher one than before starts the count of sequences anew.
        window: Most messages that are sent and not acknowledged; the server may allow fewer.
        batch: Most events of one message of `send_many`.
        token: For `Authorization: Bearer`.
        ssl: For `wss://`.
        compress: Whether to offer permessage-deflate.
        reconnect_for: Seconds that the server may be out of reach, at the start too.
        on_reject: Told of each event that is not taken; without it they are kept in `rejects`.
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
        self._reconnect_for = reconnect_for
        self._on_reject = on_reject
        self._next = 1
        self._waiting: deque[Message] = deque()  # not acknowledged, in order; the first `_sent` of them are on the connection
        self._sent = 0
        self._acked = 0  # messages of this connection
        self._totals = (0, 0, 0)  # its appended, duplicates, rejected
        self._allowed = window
        self._bytes_max = 1 << 20
        self._changed = asyncio.Condition()
        self._sending = asyncio.Lock()
        self._failure: PenstockError | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Device":
        """Connects, and learns where the source stands."""
        connection = await self._open()
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

    async def send(self, event: Event) -> None:
        """Sends one event as a message of its own; waits while the window is full."""
        await self._send([event])

    async def send_many(self, events: Iterable[Event] | AsyncIterable[Event]) -> None:
        """Sends events in messages of up to `batch`; waits whenever the window is full."""
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
        """Closes the connection; what is not acknowledged is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _send(self, events: list[Event]) -> None:
        # One after the other, so that sequences go out in order.
        async with self._sending, self._changed:
            await self._changed.wait_for(lambda: self._failure is not None or len(self._waiting) < self._window)
            if self._failure is not None:
                raise self._failure
            if self._task is None:
                raise PenstockError("the device is closed: use it within 'async with'")
            # Those of a message too large for the server go beyond the window by a few.
            messages = Message([self._numbered(event) for event in events]).split(self._bytes_max)
            self._waiting.extend(messages)
            self.counts.sent += len(events)
            self._changed.notify_all()

    def _numbered(self, event: Event) -> dict[str, Any]:
        numbered = dict(event)
        if numbered.setdefault("source", self.source) != self.source:
            raise ValueError(f"a device of {self.source!r} sends no event of {numbered['source']!r}")
        if numbered.get("sequence") is None:
            numbered["sequence"] = self._next
        elif int(numbered["sequence"]) < self._next:
            # Was sent before, by another run: the server says so. The own count is not turned back by it.
            return self._in_epoch(numbered)
        self._next = int(numbered["sequence"]) + 1
        return self._in_epoch(numbered)

    def _in_epoch(self, event: dict[str, Any]) -> dict[str, Any]:
        if self.epoch:
            event.setdefault("epoch", self.epoch)
        return event

    # The connection.

    async def _run(self, connection: ClientConnection) -> None:
        try:
            while True:
                try:
                    async with asyncio.TaskGroup() as both:
                        both.create_task(self._write(connection))
                        both.create_task(self._read(connection))
                except BaseExceptionGroup as group:
                    await self._judge(group.exceptions[0])
                finally:
                    await connection.close()
                self.counts.reconnects += 1
                connection = await self._open()
        except PenstockError as error:
            await self._fail(error)
        except Exception as error:
            await self._fail(PenstockError(f"the client failed: {error!r}"))

    async def _judge(self, error: BaseException) -> None:
        """Returns where the connection may be opened again."""
        if not isinstance(error, ConnectionClosed):
            raise error
        close = error.rcvd
        if close is not None and close.code in _FINAL_CLOSES:
            raise Refused(f"closed by the server: {close.code} {close.reason}")

    async def _fail(self, error: PenstockError) -> None:
        async with self._changed:
            self._failure = error
            self._changed.notify_all()

    async def _open(self) -> ClientConnection:
        """Connects, for as long as it may take, and learns what the server has."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._reconnect_for
        pause = 0.05
        while True:
            try:
                connection = await connect(
                    self._url,
                    subprotocols=[Subprotocol("penstock.v1")],
                    additional_headers=self._headers,
                    ssl=self._ssl,
                    compression=self._compression,
                    max_size=None,
                    open_timeout=max(1.0, min(10.0, deadline - loop.time())),
                )
                welcome = await asyncio.wait_for(connection.recv(), timeout=10.0)
                await self._begin(json.loads(welcome))
                return connection
            except InvalidStatus as error:
                status = error.response.status_code
                if status not in (429, 503):
                    body = (error.response.body or b"").decode("utf-8", "replace")
                    raise Refused(f"the server answers {status}: {body[:500]}") from error
                problem: Exception = error
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
                problem = error
            if loop.time() + pause > deadline:
                raise ConnectionLost(f"no connection to {self._url} for {self._reconnect_for} s: {problem!r}") from problem
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 2.0)

    async def _begin(self, welcome: dict[str, Any]) -> None:
        stands = welcome["resume"].get(self.source)
        async with self._changed:
            self._sent = self._acked = 0
            self._totals = (0, 0, 0)
            self._allowed = min(self._window, int(welcome["limits"]["unacked_messages"]))
            self._bytes_max = int(welcome["limits"]["message_bytes"])
            # A source that the server does not know has nothing there.
            last = (self.epoch, -1) if stands is None else (int(stands["epoch"]), int(stands["sequence"]))
            if last[0] > self.epoch:
                raise Fenced(f"{self.source} is at epoch {last[0]} by now, above {self.epoch}")
            if stands is not None and last[0] == self.epoch:
                self._next = max(self._next, last[1] + 1)
            again = (message.again(last) for message in self._waiting)
            self._waiting = deque(message for message in again if message.events)
            self._changed.notify_all()

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
                # What the server has answered already is read to its end first.
                return

    async def _read(self, connection: ClientConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            async with self._changed:
                if message["kind"] == "ack":
                    self._take_ack(message)
                elif message["kind"] == "reject":
                    self._take_reject(message)
                self._changed.notify_all()
        await connection.wait_closed()
        raise ConnectionClosed(connection.protocol.close_rcvd, connection.protocol.close_sent, connection.protocol.close_rcvd_then_sent)

    def _take_ack(self, ack: dict[str, Any]) -> None:
        resumed = 0
        while self._acked < ack["messages"]:
            message = self._waiting.popleft()
            resumed += len(message.resumed - message.rejected)
            self._sent -= 1
            self._acked += 1
        appended, duplicates, _ = self._totals
        self.counts.appended += ack["appended"] - appended
        # Sent again and on disk already: for this connection a duplicate, for the device its first answer.
        self.counts.duplicates += ack["duplicates"] - duplicates - resumed
        self.counts.resumed += resumed
        self._totals = (ack["appended"], ack["duplicates"], ack["rejected"])
        for partition, offset in ack["offsets"].items():
            self.offsets[partition] = max(offset, self.offsets.get(partition, 0))

    def _take_reject(self, reject: dict[str, Any]) -> None:
        number = reject["message"] - self._acked - 1
        if not 0 <= number < len(self._waiting):
            return
        message = self._waiting[number]
        indexes = range(len(message.events)) if reject["event"] is None else [reject["event"]]
        for index in indexes:
            if index in message.rejected:
                continue
            message.rejected.add(index)
            self.counts.rejected += 1
            told = Reject(message.events[index], reject["code"], reject["detail"])
            if self._on_reject is not None:
                self._on_reject(told)
            else:
                self.rejects.append(told)
