"""Each device has its own time: nobody is late because of another. Fleets at different places of their histories, over several connections, with clocks
that are wrong, against a computation of its own from the log: rows, late events, what was amended, what is final."""

import collections
import json
import os
import random
import signal
import subprocess
import time

import pytest
from conftest import BUILD, DEADLINE, Penstock, Service, event, eventually, free_port
from devicetime import DAY, HOUR, MINUTE, View, found_rows, nanoseconds, read_log, text
from test_query_more import Stream
from test_replay import ask, command

VIEWS = """
views:
  by_source:
    where: type == "reading"
    key: [source]
    window: { tumble: 1h }
    watermark_delay: 10m
    aggregates: { n: count(), total: sum(data.value), low: min(data.value), high: max(data.value) }
  by_site:
    where: type == "reading"
    key: {site: data.site}
    window: { tumble: 1h }
    watermark_delay: 10m
    aggregates: { n: count(), total: sum(data.value), low: min(data.value), high: max(data.value) }
  by_partition:
    where: type == "reading"
    key: [source]
    window: { tumble: 1h }
    watermark: partition
    watermark_delay: 10m
    aggregates: { n: count(), total: sum(data.value), low: min(data.value), high: max(data.value) }
  short_lived:
    where: type == "reading"
    key: [source]
    window: { tumble: 1h }
    watermark_delay: 10m
    retention: 2d
    aggregates: { n: count(), total: sum(data.value), low: min(data.value), high: max(data.value) }
  graced:
    where: type == "reading"
    key: [source]
    window: { tumble: 1h }
    watermark_delay: 10m
    allowed_lateness: 8d
    aggregates: { n: count(), total: sum(data.value), low: min(data.value), high: max(data.value) }
"""
SETTINGS = ["log.partitions=3", "compute.checkpoint_interval=50ms", "compute.changed_rows_max=1000"]
# Rows and sources are in the worker's file for the most part.
LITTLE_MEMORY = "compute.memory_bytes_max=1MiB"


def source(event):
    return event["source"]


def site(event):
    return event["data"]["site"]


MODELS = {
    "by_source": dict(key=source), "by_site": dict(key=site), "by_partition": dict(key=source, watermark="partition"),
    "short_lived": dict(key=source, retention=2 * DAY),
    "graced": dict(key=source, lateness=8 * DAY),
}


@pytest.fixture
def start(tmp_path, ledger_after_crashes):
    started = []

    def begin(*settings):
        started.append(Penstock(tmp_path, *SETTINGS, *settings, views=VIEWS))
        return started[-1]

    yield begin
    try:
        for service in started:
            service.check_ledger()
    finally:
        for service in started:
            Service.stop(service, signal.SIGKILL)


def seed_of(run=0):
    seed = int(os.environ.get("PENSTOCK_SEED", random.getrandbits(32)))
    print(f"PENSTOCK_SEED={seed}")
    return seed + run


def settle(service):
    eventually(lambda: all(view["lag"]["events"] == 0 for view in ask(service, "GET", "/v1/views")[1]["views"]))


def pages(service, path, name, **parameters):
    """Everything of a paged answer."""
    found, cursor = [], None
    while True:
        status, answer = ask(service, "GET", path, limit=1000, **parameters, **({"cursor": cursor} if cursor else {}))
        assert status == 200, answer
        found += answer[name]
        if not (cursor := answer["next_cursor"]):
            return found


def check(service, folder, finality=True):
    """Every view holds what the log says, by a computation of its own. Returns the models.

    finality: False where sources go idle meanwhile."""
    settle(service)
    partitions = read_log(folder / "data")
    ledger = {view["view"]: view for view in ask(service, "GET", "/v1/ledger")[1]["views"]}
    models = {}
    for name, settings in MODELS.items():
        model = models[name] = View(partitions, **settings)
        column = "site" if name == "by_site" else "source"
        is_final = {"by_site": model.all_final, "by_partition": None}.get(name, model.own_final) if finality else None
        found = found_rows(pages(service, f"/v1/views/{name}", "rows"), is_final is not None)
        wanted = model.table(column, is_final)
        if name == "by_site" and is_final and LITTLE_MEMORY in service.settings:
            # Sources that memory let go of hold all back that the slowest of them did, until they are idle: final comes later, never sooner.
            early = [one for one, other in zip(found, wanted) if one["final"] and not other["final"]]
            assert not early, early[:3]
            for row in found + wanted:
                del row["final"]
        differing = [(one, other) for one, other in zip(found, wanted) if one != other]
        assert len(found) == len(wanted) and not differing, f"{name}: {len(found)} rows for {len(wanted)}, {differing[:3]}"
        late = pages(service, f"/v1/views/{name}/late", "events")
        assert sorted((one["partition"], one["offset"], one["reason"]) for one in late) == model.late, name
        # The ledger: amended is a part of applied.
        sums = collections.Counter()
        for row in ledger[name]["partitions"]:
            partition = row["partition"]
            assert row["appended"] == row["applied"] + row["filtered"] + row["late"], row
            assert (row["applied"], row["amended"]) == (model.applied[partition], model.amended[partition]), (name, row)
            sums.update({member: row[member] for member in ("applied", "amended", "late")})
        assert (ledger[name]["applied"], ledger[name]["amended"], ledger[name]["late"]) == (sums["applied"], sums["amended"], len(model.late)), name
    return models


def check_replays(service):
    """Folded once more from the log: the same state, and the same rows."""
    for name in MODELS:
        verified = command(service, "view", "verify", name)
        assert verified.returncode == 0, (name, verified.stdout, verified.stderr)
        replayed = command(service, "replay", name)
        assert replayed.returncode == 0, replayed.stderr
        difference = command(service, "view", "diff", name)
        assert difference.returncode == 0, (name, difference.stdout, difference.stderr)


def changes(stream):
    """The rows of a live stream's changes."""
    while True:
        name, data, _ = stream.next()
        assert name == "change", (name, data)
        yield from data["rows"]


def simulate(service, *arguments):
    done = subprocess.run(
        [str(BUILD / "penstock"), "simulate", "--url", f"ws://127.0.0.1:{service.ports['ingest']}/v1/stream", "--output", "json", *map(str, arguments)],
        capture_output=True, text=True, timeout=2 * DEADLINE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)[0]
    assert told["sent"] == told["appended"] > 0, told
    return told["sent"]


def sending(folder, port, histories, dice, connections=3, rate=None):
    """Starts one `penstock send` a connection, each with the events of some of the sources, each source's in their order."""
    files = [[] for _ in range(connections)]
    for index, events in enumerate(histories):
        files[index % connections].append(list(events))
    senders = []
    for number, own in enumerate(files):
        path = folder / f"sent-{number}.ndjson"
        with open(path, "w") as file:
            left = [list(reversed(events)) for events in own if events]
            while left:
                # Bursts of one source between bursts of others.
                which = dice.randrange(len(left))
                for _ in range(dice.randrange(1, 20)):
                    if left[which]:
                        file.write(json.dumps(left[which].pop()) + "\n")
                if not left[which]:
                    left.pop(which)
        arguments = [str(BUILD / "penstock"), "send", str(path), "--url", f"ws://127.0.0.1:{port}/v1/stream", "--batch", "25"]
        senders.append(subprocess.Popen([*arguments, *(["--rate", str(rate)] if rate else [])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return senders


def finished(senders):
    for sender in senders:
        _, errors = sender.communicate(timeout=2 * DEADLINE)
        assert sender.returncode == 0, errors


def send_all(service, folder, histories, dice):
    finished(sending(folder, service.ports["ingest"], histories, dice))


def reading(name, sequence, at, **members):
    return event(name, sequence, type="reading", time=text(at), data={"value": (sequence * 7919 % 2000) / 100, "site": f"site-{len(name) % 3}"}, **members)


def history(name, start, count, every, order=None):
    times = [start + number * every for number in range(count)]
    return [reading(name, number + 1, at) for number, at in enumerate(order(times) if order else times)]


def now():
    return time.time_ns() // 10**9 * 10**9


@pytest.mark.parametrize("memory", ["1GiB", "1MiB"])
def test_fleets_at_different_places_of_their_history_are_counted_whole(start, tmp_path, memory):
    """Each source within its own delay: nothing is late for `watermark: source`, whatever the interleaving; by the partition's time much of it is."""
    service, seed = start(f"compute.memory_bytes_max={memory}"), seed_of()
    sent = simulate(
        service, "--devices", 60, "--every", "20m", "--backlog", "8d", "--out-of-order", "9m", "--connections", 3, "--rate", 30000, "--duration", "1s",
        "--seed", seed, "--offline", "0.3=500ms")
    models = check(service, tmp_path)
    assert {reason for _, _, reason in models["short_lived"].late} == {"expired"}
    for name in ("by_source", "by_site", "graced"):
        assert models[name].late == [] and sum(map(len, models[name].rows.values())) == sent, name
    assert len(models["by_partition"].late) > sent / 10, "the fleet is not one that the setting is for"
    assert sum(models["by_source"].amended.values()) == len(models["by_partition"].late)
    check_replays(service)


def test_clocks_that_are_years_ahead_or_behind_close_no_window_of_another(start, tmp_path):
    service, seed = start(LITTLE_MEMORY), seed_of()
    sent = simulate(
        service, "--devices", 80, "--every", "5m", "--backlog", "2d", "--clock-ahead", "0.1=1825d", "--clock-ahead", "0.1=-1825d", "--connections", 4,
        "--rate", 30000, "--duration", "1s", "--seed", seed)
    models = check(service, tmp_path)
    assert models["by_source"].late == [] and sum(models["by_source"].applied.values()) == sent
    found = {start // (365 * DAY) for start, _ in models["by_source"].rows}
    assert max(found) - min(found) >= 9, "ten years between the clocks"
    overview = ask(service, "GET", "/v1/overview")[1]
    ahead = sum(time > appended + MINUTE for events in read_log(tmp_path / "data").values() for _, _, time, appended in events)
    assert overview["events_ahead"] == ahead > 100
    check_replays(service)


def test_a_clock_that_jumps_forth_and_back_loses_no_reading_of_the_hour(start, tmp_path):
    """The jump moves the device's time to the present at most, where its right readings are."""
    service, dice = start(), random.Random(seed_of())
    present, years = now(), 1825 * DAY
    jumping = []
    for number in range(300):
        at = present - (300 - number) * 10**9
        jumping.append(reading("jumping/1", number + 1, at + dice.choice((0, 0, years))))
    neighbours = [history(f"steady/{number}", present - 3 * DAY, 80, HOUR) for number in range(9)]
    send_all(service, tmp_path, [jumping, *neighbours], dice)
    models = check(service, tmp_path)
    assert models["by_source"].late == []
    assert sum(len(values) for (_, name), values in models["by_source"].rows.items() if name == "jumping/1") == 300


@pytest.mark.parametrize("order", ["newest first", "in order", "shuffled"])
def test_a_device_that_returns_after_a_week(start, tmp_path, order):
    service, dice = start(), random.Random(seed_of())
    begin = nanoseconds("2024-05-01T00:30:00Z")
    there = history("phone/1", begin, 24, HOUR)
    others = [history(f"steady/{number}", begin, 192, HOUR) for number in range(12)]
    send_all(service, tmp_path, [there, *others], dice)
    settle(service)
    assert check(service, tmp_path)["by_source"].late == []

    week = [begin + (24 + number) * HOUR for number in range(168)]
    if order == "newest first":
        week.reverse()
    elif order == "shuffled":
        dice.shuffle(week)
    send_all(service, tmp_path, [[reading("phone/1", 25 + number, at) for number, at in enumerate(week)]], dice)
    models = check(service, tmp_path)
    late = len(models["by_source"].late)
    assert late == {"newest first": 167, "in order": 0}.get(order, late) and (order != "shuffled" or 0 < late < 168)
    assert models["graced"].late == [], "within allowed_lateness of its own time"
    mine = sum(len(values) for (_, name), values in models["graced"].rows.items() if name == "phone/1")
    assert mine == 24 + 168
    assert sum(models["graced"].amended.values()) == 0, "eight days of grace"
    if order == "in order":
        # The neighbours' time had closed the hours it brings, where they share its partition.
        shared = models["by_source"].partition_of["phone/1"]
        has_neighbour = any(partition == shared for name, partition in models["by_source"].partition_of.items() if name != "phone/1")
        assert has_neighbour and models["by_source"].amended[shared] > 100
    check_replays(service)


def test_a_row_that_was_final_is_amended_and_sent_to_live_readers(start, tmp_path):
    """A device that was silent for longer than `compute.source_idle` holds nothing back, and is counted when it returns."""
    service, dice = start("compute.source_idle=1s"), random.Random(seed_of())
    begin = nanoseconds("2024-05-01T00:30:00Z")
    names = ["alone/0"] + [f"other/{number}" for number in range(40)]
    send_all(service, tmp_path, [history(name, begin, 1, HOUR) for name in names], dice)
    settle(service)
    of = View(read_log(tmp_path / "data"), key=source).partition_of
    assert any(of[name] == of["alone/0"] for name in names[1:]), "another device of its partition"
    send_all(service, tmp_path, [[reading(name, 2, begin + 9 * HOUR)] for name in names[1:]], dice)
    settle(service)

    def first_row():
        rows = pages(service, "/v1/views/by_site", "rows", to="2024-05-01T01:00:00Z", where="site == 'site-1'")
        return rows[0]

    assert len("alone/0") % 3 == 1
    eventually(lambda: first_row()["final"])
    before = first_row()
    stream = Stream(service, "/v1/views/by_site/live?interval=50ms&to=2024-05-01T01:00:00Z&where=site%20%3D%3D%20%27site-1%27")
    name, data, _ = stream.next()
    assert name == "rows" and [(row["n"], row["final"]) for row in data["rows"]] == [(before["n"], True)]
    send_all(service, tmp_path, [[reading("alone/0", 2, begin + 10 * MINUTE)]], dice)
    settle(service)
    after = first_row()
    assert after["n"] == before["n"] + 1
    # The live reader is told of the row again, as it is now: its final state comes when the device is silent again.
    told = next(row for row in changes(stream) if row["n"] == after["n"])
    assert told["window_start"] == after["window_start"]
    while not told["final"]:
        told = next(changes(stream))
    assert told["n"] == after["n"] and eventually(lambda: first_row()["final"])
    stream.close()
    models = check(service, tmp_path, finality=False)
    assert models["by_source"].late == [] and sum(models["by_source"].amended.values()) > 0


@pytest.mark.parametrize("run", range(2))
def test_killed_while_backlogs_stream_the_rows_are_exact(tmp_path, ledger_after_crashes, run):
    seed = seed_of(run)
    dice = random.Random(seed)
    port, running = free_port(), []

    def begin():
        running.append(Penstock(tmp_path, *SETTINGS, LITTLE_MEMORY, f"ingest.listen=127.0.0.1:{port}", views=VIEWS))

    begin()
    present, histories = now(), []
    for number in range(45):
        start_at = present - dice.randrange(1, 20 * 24) * HOUR
        clock = dice.choice((0, 0, 0, 0, 1825 * DAY, -1825 * DAY))
        order = dice.choice((None, None, lambda times: sorted(times, key=lambda at: at - dice.randrange(9 * MINUTE)), lambda times: times[::-1]))
        histories.append(history(f"device/{number}", start_at + clock, dice.randrange(50, 400), dice.choice((MINUTE, 7 * MINUTE, HOUR)), order))
    senders = sending(tmp_path, port, histories, dice, rate=3000)
    try:
        for _ in range(4):
            time.sleep(dice.random() * 0.8)
            running[-1].stop(signal.SIGKILL)
            begin()
        finished(senders)
        models = check(running[-1], tmp_path)
        assert sum(models["by_source"].applied.values()) + len(models["by_source"].late) == sum(map(len, histories)), f"seed {seed}"
        check_replays(running[-1])
        assert running[-1].stop() == 0
    finally:
        for sender in senders:
            if sender.poll() is None:
                sender.kill()
                sender.wait()
        for service in running:
            Service.stop(service, signal.SIGKILL)
            Penstock.killed.pop(tmp_path, None)
