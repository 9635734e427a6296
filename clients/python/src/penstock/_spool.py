"""A device's memory that survives it: what is not answered for, and the next sequence, in a file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ._errors import SpoolError
from ._messages import Encoded

_FORMAT = 1
_Result = TypeVar("_Result")


class Spool:
    """One SQLite file, of one source and one process at a time. Its calls are made on a thread of its own; each is one transaction, synced."""

    def __init__(self, path: str | os.PathLike[str], source: str) -> None:
        self.path = os.fspath(path)
        self._source = source
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="penstock spool")
        self._database: sqlite3.Connection | None = None

    async def open(self, epoch: int) -> tuple[int, list[tuple[int, str]]]:
        """Opens the file, or makes it.

        Returns:
            The next sequence in `epoch`, 0 where the file knows none, and row and JSON of each event not answered for, in their order.

        Raises:
            SpoolError: Another process uses it; it is another source's; it is no spool.
        """
        return await self._call(lambda: self._open(epoch))

    async def append(self, texts: Iterable[str], epoch: int, next_sequence: int) -> list[int]:
        """Keeps events, as their JSON, and the next sequence.

        Returns:
            Their rows.
        """
        return await self._call(lambda: self._append(texts, epoch, next_sequence))

    async def remove(self, events: Iterable[Encoded]) -> None:
        """Forgets events that are answered for."""
        rows = [(event.row,) for event in events]
        await self._call(lambda: self._in_transaction(lambda database: database.executemany("DELETE FROM event WHERE row = ?", rows)))

    async def close(self) -> None:
        def close() -> None:
            if self._database is not None:
                self._database.close()
                self._database = None

        await self._call(close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], _Result]) -> _Result:
        try:
            # Not given up in the middle: a transaction that is made stays made, and whoever asked is told.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except sqlite3.Error as error:
            raise SpoolError(f"the spool {self.path}: {error}") from error

    def _open(self, epoch: int) -> tuple[int, list[tuple[int, str]]]:
        database = self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=0)
        os.chmod(self.path, 0o600)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            database.close()
            self._database = None
            if "locked" in str(error):
                raise SpoolError(f"the spool {self.path} is in use: each device, and each run of it, needs one of its own") from error
            raise
        database.execute("CREATE TABLE IF NOT EXISTS spool (format INTEGER, source BLOB)")
        database.execute("CREATE TABLE IF NOT EXISTS counter (epoch TEXT PRIMARY KEY, next TEXT)")
        database.execute("CREATE TABLE IF NOT EXISTS event (row INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)")
        known = database.execute("SELECT format, source FROM spool").fetchone()
        if known is None:
            database.execute("INSERT INTO spool VALUES (?, ?)", (_FORMAT, self._source.encode()))
        elif known[0] != _FORMAT:
            raise SpoolError(f"the spool {self.path} has format {known[0]}, and this client reads {_FORMAT}")
        elif known[1] != self._source.encode():
            raise SpoolError(f"the spool {self.path} is of the source {known[1].decode()!r}, not of {self._source!r}")
        # As text: SQLite's integers end at 2^63 − 1, sequences at 2^64 − 1.
        counter = database.execute("SELECT next FROM counter WHERE epoch = ?", (str(epoch),)).fetchone()
        events = database.execute("SELECT row, text FROM event ORDER BY row").fetchall()
        database.execute("COMMIT")
        return (int(counter[0]) if counter else 0), events

    def _append(self, texts: Iterable[str], epoch: int, next_sequence: int) -> list[int]:
        def append(database: sqlite3.Connection) -> list[int]:
            rows = [database.execute("INSERT INTO event (text) VALUES (?)", (text,)).lastrowid or 0 for text in texts]
            database.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (str(epoch), str(next_sequence)))
            return rows

        return self._in_transaction(append)

    def _in_transaction(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        if self._database is None:
            raise SpoolError(f"the spool {self.path} is closed")
        self._database.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._database)
            self._database.execute("COMMIT")
            return result
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
