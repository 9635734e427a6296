"""Where every event went. Once what was sent has settled: received = appended + duplicates + rejected, as many in the log as were appended, and of
each view and partition appended = applied + filtered + late, nothing pending. A crash takes ingest's counts with it, which count anew; the log's and
the views' are durable, and add up as before."""

import re
import time

DEADLINE = 60


def high_watermarks(ledger):
    return {row["partition"]: row["high_watermark"] for row in ledger["log"]}


def differences(ledger):
    """The sums that do not add up, at any moment."""
    wrong = [] if ledger["balanced"] else ["balanced is false"]
    ingest = ledger["ingest"]
    if ingest is not None:
        if ingest["received"] != ingest["appended"] + ingest["duplicates"] + ingest["rejected"] + ingest["in_flight"] or ingest["in_flight"] < 0:
            wrong.append(f"ingest: {ingest}")
    log = high_watermarks(ledger)
    for view in ledger["views"]:
        for row in [view, *view["partitions"]]:
            if row["appended"] != row["applied"] + row["filtered"] + row["late"] + row["pending"] or row["amended"] > row["applied"]:
                wrong.append(f"{view['view']}: {row}")
        for row in view["partitions"]:
            # The views are asked after the log.
            if row["next_offset"] + row["pending"] < log[row["partition"]]:
                wrong.append(f"{view['view']}: the log ends at {log[row['partition']]}: {row}")
            if row["next_offset"] != row["first_offset"] + row["applied"] + row["filtered"] + row["late"]:
                wrong.append(f"{view['view']}: {row}")
    return wrong


def unsettled(ledger, before):
    """The events still under way, or missing.

    before: the log's high watermarks when the ingest process started, by partition; None where they could not be asked."""
    under_way = [f"{view['view']}: {view['pending']} pending" for view in ledger["views"] if view["pending"]]
    ingest = ledger["ingest"]
    if ingest is not None:
        if ingest["in_flight"]:
            under_way.append(f"ingest: {ingest['in_flight']} in flight")
        if before is not None:
            grown = sum(high_watermarks(ledger).values()) - sum(before.values())
            if grown != ingest["appended"]:
                under_way.append(f"the log has grown by {grown} events, of which ingest appended {ingest['appended']}")
    return under_way


def check(ask, before=None):
    """Asks until all is settled; what never adds up fails at once."""
    deadline = time.monotonic() + DEADLINE
    while True:
        ledger = ask()
        assert not differences(ledger), (differences(ledger), ledger)
        if not (under_way := unsettled(ledger, before)):
            return ledger
        assert time.monotonic() < deadline, (under_way, ledger)
        time.sleep(0.02)


def check_crash(ledger, seen):
    """After a crash: nothing that was durable has gone.

    seen: the ledger's high watermarks before it, by partition; None where none were asked for."""
    assert not differences(ledger), (differences(ledger), ledger)
    for partition, offset in (seen or {}).items():
        assert high_watermarks(ledger)[partition] >= offset, f"partition {partition} ended at {offset} before the crash: {ledger}"


def ingest_counts(metrics):
    """As in the ledger's `ingest`, of the metrics' text: where ingest is a process of its own."""
    totals = dict.fromkeys(("received", "appended", "duplicate", "rejected"), 0)
    for name, value in re.findall(r"^penstock_ingest_events_(received|appended|duplicate|rejected)_total(?:\{[^}]*\})? (\S+)$", metrics, re.M):
        totals[name] += int(float(value))
    totals["duplicates"] = totals.pop("duplicate")
    totals["in_flight"] = totals["received"] - totals["appended"] - totals["duplicates"] - totals["rejected"]
    return totals
