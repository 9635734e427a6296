"""A state depends on its events alone: wherever the process is killed, and whatever its workers, batches and checkpoints, the state hashes are those
of a run that nothing disturbed. PENSTOCK_SEED repeats a run, which prints its seed; PENSTOCK_CRASH_RUNS has more of them."""

import json
import os
import random
import signal
import subprocess
import time

import pytest
from conftest import BUILD, DEADLINE, WEATHER, Penstock, eventually, free_port
from test_contract import MORE_VIEWS
from test_http import request

NAMES = ["weather_daily", "weather_hops", "weather_sessions", "weather_full", "weather_strict"]
RUNS = int(os.environ.get("PENSTOCK_CRASH_RUNS", "3"))


def ask(service, method, path, body=None):
    status, _, answer = request(service.ports["query"], method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    return status, json.loads(answer)



def sending(port, batch):
    """One connection: each partition has its events in the file's order."""
    return subprocess.Popen(
        [str(BUILD / "penstock"), "send", str(WEATHER), "--url", f"ws://127.0.0.1:{port}/v1/stream", "--connections", "1", "--batch", str(batch),
         "--rate", "10000", "--output", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sent(sender):
    output, errors = sender.communicate(timeout=2 * DEADLINE)
    assert sender.returncode == 0, errors
    return output


def settle(service):
    """All is counted; how many events there are in each partition."""
    eventually(lambda: all(view["lag"]["events"] == 0 for view in ask(service, "GET", "/v1/views")[1]["views"]))
    return {row["partition"]: row["high_watermark"] for row in ask(service, "GET", "/v1/ledger")[1]["log"]}


def hashes(service, view, generation):
    """The hash of each partition's stored state, which is that of a fold of the log."""
    status, report = ask(service, "POST", f"/v1/views/{view}/verify", {"generation": generation})
    assert status == 200 and report["same"], report
    return {partition["partition"]: partition["kept"] for partition in report["partitions"]}


def state(service, view, generation):
    return next(one["state"] for one in ask(service, "GET", f"/v1/views/{view}/generations")[1]["generations"] if one["generation"] == generation)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The events in each partition, and the hashes by view, of a run with one worker that is never killed."""
    service = Penstock(tmp_path_factory.mktemp("undisturbed"), "compute.workers=1", views=MORE_VIEWS)
    sent(sending(service.ports["ingest"], 100))
    events = settle(service)
    expected = {view: hashes(service, view, 1) for view in NAMES}
    assert service.stop() == 0, "".join(service.lines)
    assert sum(events.values()) > 20000 and len({tuple(sorted(each.items())) for each in expected.values()}) == len(NAMES)
    return events, expected


@pytest.mark.parametrize("run", range(RUNS))
def test_the_hashes_are_those_of_a_run_without_a_crash(undisturbed, tmp_path, run):
    seed = int(os.environ.get("PENSTOCK_SEED", random.getrandbits(32))) + run
    print(f"PENSTOCK_SEED={seed - run} (run {run} is of {seed})")
    dice = random.Random(seed)
    events, expected = undisturbed
    port = free_port()
    running = []

    def start():
        # Others each time: workers take over what others have kept.
        running.append(Penstock(
            tmp_path, f"ingest.listen=127.0.0.1:{port}", f"compute.workers={dice.randint(1, 4)}",
            f"compute.checkpoint_interval={dice.choice([10, 30, 100])}ms", f"compute.changed_rows_max={dice.choice([1000, 3000, 100000])}",
            f"compute.memory_bytes_max={dice.choice([1, 1024])}MiB", views=MORE_VIEWS))
        return running[-1]

    def kill_and_start(after):
        time.sleep(after)
        running[-1].stop(signal.SIGKILL)
        return start()

    sender = None
    try:
        service = start()
        # While it appends and folds. It goes on only once something new is in the log.
        sender = sending(port, dice.randint(20, 400))
        kills = 0
        for share in sorted(dice.random() * 0.9 for _ in range(4)):
            eventually(lambda: sender.poll() is not None or sum(
                row["high_watermark"] for row in ask(service, "GET", "/v1/ledger")[1]["log"]) >= share * sum(events.values()))
            kills += sender.poll() is None
            service = kill_and_start(dice.random() * 0.05)
        sent(sender)
        assert kills, "the kills did not meet the stream"
        # While it replays, checkpoints and swaps.
        view = dice.choice(NAMES)
        replays = {}
        kills = met = 0
        while kills < 3 or not met:
            assert kills < 20, "the kills did not meet a replay"
            if not replays or state(service, view, max(replays)) != "building":
                promote = dice.random() < 0.5
                status, replay = ask(service, "POST", f"/v1/views/{view}/replays", {"promote": promote})
                assert status == 202, replay
                replays[replay["generation"]] = promote
            met += state(service, view, max(replays)) == "building"
            service = kill_and_start(dice.random() * 0.1)
            kills += 1
        for generation, promote in replays.items():
            eventually(lambda: state(service, view, generation) in (("live", "previous", "dropped") if promote else ("held",)))
        assert settle(service) == events
        checked = 0
        for name in NAMES:
            for one in ask(service, "GET", f"/v1/views/{name}/generations")[1]["generations"]:
                if one["state"] != "dropped":
                    assert hashes(service, name, one["generation"]) == expected[name], (name, one, seed)
                    checked += 1
        assert checked > len(NAMES), "a replay's state is among them"
        assert service.stop() == 0, "".join(service.lines)
    finally:
        if sender is not None:
            sender.kill()
        for service in running:
            service.stop(signal.SIGKILL)
