"""A plain model of device time: the rows of views, computed from the log's own batches, one event after the other, with a dictionary."""

import collections
import datetime
import json
import subprocess

from conftest import BUILD, DEADLINE

MINUTE, HOUR, DAY = (unit * 10**9 for unit in (60, 3600, 86400))
AHEAD_MAX = MINUTE


def nanoseconds(text):
    """An RFC 3339 time as nanoseconds since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole + "+00:00")
    return int(moment.timestamp()) * 10**9 + int(fraction.ljust(9, "0") or 0)


def text(time):
    return datetime.datetime.fromtimestamp(time // 10**9, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_log(data):
    """Each partition's events in order: (offset, event, event time, append time)."""
    done = subprocess.run([str(BUILD / "penstock"), "log", "inspect", "--data", str(data)], capture_output=True, timeout=2 * DEADLINE)
    assert done.returncode == 0, done.stderr.decode()
    partitions = collections.defaultdict(list)
    for batch in json.loads(done.stdout):
        appended = nanoseconds(batch["append_time"])
        for one in batch["events"]:
            partitions[batch["partition"]].append((one["logoffset"], one, nanoseconds(one["time"]), appended))
    for events in partitions.values():
        events.sort(key=lambda one: one[0])
        assert [offset for offset, *_ in events] == list(range(len(events)))
    return partitions


class View:
    """The rows, late events and counts of one view of hourly windows with `watermark: source` or `partition`."""

    def __init__(self, partitions, *, key, watermark="source", delay=10 * MINUTE, lateness=0, retention=None, size=HOUR):
        self.rows = collections.defaultdict(list)
        self.late = []
        self.amended = collections.Counter()
        self.applied = collections.Counter()
        # The largest time that was told, by partition and by source.
        self.partition_times, self.source_times = {}, {}
        self.close = lambda time: time - delay - lateness
        expire = (lambda time: time - delay - max(retention, lateness)) if retention else lambda time: -(1 << 80)
        for partition, events in sorted(partitions.items()):
            for offset, event, time, appended in events:
                source = event["source"]
                told = min(time, appended + AHEAD_MAX)
                self.source_times[source] = max(told, self.source_times.get(source, told))
                self.partition_times[partition] = max(told, self.partition_times.get(partition, told))
                start = time // size * size
                own = self.source_times[source] if watermark == "source" else self.partition_times[partition]
                is_expired = start + size <= expire(self.partition_times[partition])
                if is_expired or start + size <= self.close(own):
                    self.late.append((partition, offset, "expired" if is_expired else "window_closed"))
                    continue
                self.applied[partition] += 1
                if start + size <= self.close(self.partition_times[partition]):
                    self.amended[partition] += 1
                self.rows[start, key(event)].append(event["data"]["value"])
        self.partition_of = {event["source"]: partition for partition, events in partitions.items() for _, event, _, _ in events}
        # Rows that retention has passed are not shown, though it was counted.
        gone = [row for row in self.rows if retention and row[0] + size <= expire(self.partition_times[self.partition_of[row[1]]])]
        for row in gone:
            del self.rows[row]
        self.size = size

    def table(self, column, is_final):
        """As query answers. `is_final` tells from a window's end and key whether the row can still change; None: not compared."""
        result = []
        for (start, key), values in sorted(self.rows.items(), key=lambda row: (row[0][0], row[0][1].encode())):
            row = {"window_start": text(start), column: key, "n": len(values), "total": round(sum(values), 6), "low": min(values), "high": max(values)}
            if is_final:
                row["final"] = is_final(start + self.size, key)
            result.append(row)
        return result

    def own_final(self, end, source):
        """With `source` among the keys: once the row's own source has closed its window."""
        return end <= self.close(self.source_times[source])

    def all_final(self, end, _):
        """Without `source` among the keys: once every source has closed it. All sources are active: they have appended within the last minutes."""
        return end <= self.close(min(self.source_times.values()))


def found_rows(answer, has_final):
    return [
        {name: round(row[name], 6) if name == "total" else row[name] for name in row if name != "window_end" and (has_final or name != "final")}
        for row in answer]
