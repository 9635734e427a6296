"""Generations of a view, over HTTP and by the commands: built beside the live one, compared, swapped, rolled back, verified; and killed at any moment."""

import gzip
import json
import os
import random
import signal
import subprocess
import time
import urllib.parse

from conftest import BUILD, DEADLINE, VIEWS, WEATHER, eventually
from test_http import post, request

VIEW = "/v1/views/weather_daily"
WEEKLY = VIEWS.replace("tumble: 1d", "tumble: 7d")


def ask(penstock, method, path, body=None, content_type="application/json", **parameters):
    if parameters:
        path += "?" + urllib.parse.urlencode(parameters)
    data = None if body is None else (body if isinstance(body, str) else json.dumps(body))
    headers = {"Content-Type": content_type} if data is not None else {}
    status, _, answer = request(penstock.ports["query"], method, path, data, headers)
    return status, json.loads(answer)


def command(penstock, *arguments):
    return subprocess.run(
        [str(BUILD / "penstock"), *arguments, "--url", f"http://127.0.0.1:{penstock.ports['query']}"],
        capture_output=True, text=True, timeout=DEADLINE,
    )


def send_weather(penstock):
    sent = subprocess.run(
        [str(BUILD / "penstock"), "send", str(WEATHER), "--url", f"ws://127.0.0.1:{penstock.ports['ingest']}/v1/stream", "--connections", "3"],
        capture_output=True, text=True, timeout=DEADLINE,
    )
    assert sent.returncode == 0, sent.stderr
    status, rows = ask(penstock, "GET", VIEW, after=json.dumps(high_watermarks(penstock)), timeout="30s", limit=1)
    assert status == 200, rows


def high_watermarks(penstock):
    return ask(penstock, "GET", "/v1/views")[1]["views"][0]["high_watermarks"]


def generations(penstock):
    status, answer = ask(penstock, "GET", VIEW + "/generations")
    assert status == 200, answer
    return answer["generations"]


def wait_for(penstock, generation, state):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        one = next(one for one in generations(penstock) if one["generation"] == generation)
        if one["state"] == state:
            return one
        time.sleep(0.01)
    raise AssertionError(one)


def test_a_view_s_life(start_penstock, tmp_path):
    penstock = start_penstock()
    send_weather(penstock)
    before = ask(penstock, "GET", VIEW, limit=100000)[1]

    status, estimate = ask(penstock, "POST", VIEW + "/replays", {"from": "earliest", "dry_run": True})
    assert status == 200 and estimate["events"] == sum(before["as_of"].values()) and estimate["seconds"] > 0, estimate
    assert len(generations(penstock)) == 1

    status, replay = ask(penstock, "POST", VIEW + "/replays", {"from": "earliest", "to": None, "promote": False})
    assert status == 202 and replay["generation"] == 2, replay
    done = wait_for(penstock, 2, "held")
    assert done["events_done"] == done["events_total"] == sum(before["as_of"].values())
    assert ask(penstock, "GET", f"{VIEW}/replays/{replay['id']}")[1]["state"] == "held"

    # The same definition over the same events is the same.
    status, diff = ask(penstock, "GET", VIEW + "/diff", from_generation=1, to_generation=2)
    assert status == 200 and diff["same"] and diff["rows"] == [] and diff["unchanged"] == len(before["rows"]), diff
    assert diff["as_of"] == before["as_of"]
    assert command(penstock, "view", "diff", "weather_daily", "--from-generation", "1", "--to-generation", "2").returncode == 0
    assert command(penstock, "view", "promote", "weather_daily", "--if-same").returncode == 0
    after = ask(penstock, "GET", VIEW, limit=100000)[1]
    assert after["generation"] == 2 and after["rows"] == before["rows"]

    # Another definition, held: it differs, and the gate says so.
    weekly = tmp_path / "weekly.yaml"
    weekly.write_text(WEEKLY)
    applied = command(penstock, "view", "apply", str(weekly), "--hold", "--output", "json")
    assert json.loads(applied.stdout)["views"] == [{"view": "weather_daily", "generation": 3, "action": "building"}], applied.stderr
    wait_for(penstock, 3, "held")
    diff = command(penstock, "view", "diff", "weather_daily", "--output", "json")
    assert diff.returncode == 3, diff.stderr
    assert json.loads(diff.stdout)["from_generation"] == 2 and json.loads(diff.stdout)["to_generation"] == 3
    assert "→" in command(penstock, "view", "diff", "weather_daily").stdout
    gate = command(penstock, "view", "promote", "weather_daily", "--generation", "3", "--max-changed", "5")
    assert gate.returncode == 3 and "generations_differ" in gate.stderr, gate.stderr
    status, problem = ask(penstock, "POST", VIEW + "/promote", {"generation": 3, "if_same": True})
    assert status == 409 and problem["code"] == "generations_differ", problem
    assert ask(penstock, "GET", VIEW, generation=3, limit=1)[1]["generation"] == 3
    status, promoted = ask(penstock, "POST", VIEW + "/promote", {"generation": 3})
    assert status == 200 and promoted["state"] == "live"
    assert [one["state"] for one in generations(penstock)] == ["dropped", "previous", "live"]
    assert command(penstock, "view", "rollback", "weather_daily").returncode == 0
    assert ask(penstock, "GET", VIEW, limit=100000)[1]["rows"] == before["rows"]

    verified = command(penstock, "view", "verify", "weather_daily", "--output", "json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["same"] is True

    # The past: half of every partition, by as_of and by a bounded replay.
    half = {partition: offset // 2 for partition, offset in before["as_of"].items()}
    status, past = ask(penstock, "GET", VIEW, as_of=json.dumps(half), limit=100000)
    assert status == 200 and past["as_of"] == half and 0 < len(past["rows"]) < len(before["rows"]), past
    status, bounded = ask(penstock, "POST", VIEW + "/replays", {"to": half})
    assert status == 202
    wait_for(penstock, bounded["generation"], "complete")
    rows = ask(penstock, "GET", VIEW, generation=bounded["generation"], limit=100000)[1]
    assert rows["as_of"] == half and [{**row, "final": None} for row in rows["rows"]] == [{**row, "final": None} for row in past["rows"]]
    status, problem = ask(penstock, "GET", VIEW, as_of=json.dumps({"0": 10**9}))
    assert status == 409 and problem["code"] == "as_of_ahead", problem
    followed = command(penstock, "replay", "weather_daily", "--to", "2013-06-01T00:00:00Z", "--output", "json")
    assert followed.returncode == 0 and json.loads(followed.stdout)[0]["state"] == "complete", followed.stderr
    assert command(penstock, "view", "drop", "weather_daily", "--generation", str(bounded["generation"])).returncode == 0
    status, answer = ask(penstock, "DELETE", f"{VIEW}/replays/2")
    assert status == 409 and answer["code"] == "generation_live", answer


def test_what_is_wrong_is_said(start_penstock):
    penstock = start_penstock()
    for body, code in [
        ({"from": "yesterday"}, "invalid_parameter"), ({"form": "earliest"}, "unknown_parameter"), ({"from": {"x": 1}}, "invalid_parameter"),
        ({"promote": 1}, "invalid_parameter"), ("{", "invalid_json"), ("[]", "invalid_body"),
    ]:
        status, problem = ask(penstock, "POST", VIEW + "/replays", body)
        assert status == 400 and problem["code"] == code, (body, problem)
    for method, path, body, status, code in [
        ("POST", VIEW + "/replays", {"to": {"0": 0}, "promote": True}, 409, "replay_bounded"),
        ("POST", VIEW + "/replays", {"from": {"0": 5}}, 409, "offset_ahead"),
        ("POST", VIEW + "/promote", {}, 409, "nothing_to_promote"),
        ("POST", VIEW + "/rollback", None, 409, "nothing_to_roll_back_to"),
        ("GET", VIEW + "/replays/7", None, 404, "unknown_replay"),
        ("GET", VIEW + "/diff", None, 400, "invalid_parameter"),
        ("GET", "/v1/views/none/generations", None, 404, "unknown_view"),
        ("PUT", VIEW + "/promote", None, 405, "method_not_allowed"),
    ]:
        answered, problem = ask(penstock, method, path, body)
        assert (answered, problem["code"]) == (status, code), (path, problem)
    status, problem = ask(penstock, "POST", "/v1/views/apply", "views:\n  a:\n    wndow: 1\n", "application/yaml")
    assert status == 422 and problem["code"] == "invalid_views" and "wndow" in problem["detail"], problem


def test_sighup_reads_the_views_again(start_penstock, tmp_path):
    penstock = start_penstock()
    send_weather(penstock)
    (tmp_path / "views.yaml").write_text("views: [")
    penstock.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + DEADLINE
    while not any("the views stay as they are" in line for line in penstock.lines) and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "views.yaml").write_text(WEEKLY)
    penstock.process.send_signal(signal.SIGHUP)
    while len(generations(penstock)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    wait_for(penstock, 2, "live")
    assert ask(penstock, "GET", VIEW, limit=1)[1]["generation"] == 2


def test_killed_while_it_builds_and_swaps(start_penstock):
    """Whenever the process dies, one generation is live, and its state is what the log says."""
    seed = int(os.environ.get("PENSTOCK_SEED", random.getrandbits(32)))
    print(f"PENSTOCK_SEED={seed}")
    dice = random.Random(seed)
    # Many checkpoints, so that kills fall between them.
    settings = ["compute.checkpoint_interval=10ms", "compute.changed_rows_max=1000"]
    penstock = start_penstock(*settings)
    send_weather(penstock)
    for _ in range(8):
        held = [one["generation"] for one in generations(penstock) if one["state"] in ("held", "building", "previous")]
        if len(held) > 3:
            ask(penstock, "DELETE", f"{VIEW}/generations/{held[0]}")
        ask(penstock, "POST", VIEW + "/replays", {"promote": dice.random() < 0.5})
        time.sleep(dice.random() * 0.05)
        if dice.random() < 0.5:
            ask(penstock, "POST", VIEW + "/promote", {})
        if dice.random() < 0.3:
            ask(penstock, "POST", VIEW + "/rollback")
        time.sleep(dice.random() * 0.05)
        penstock.stop(signal.SIGKILL)
        penstock = start_penstock(*settings)
        states = [one["state"] for one in generations(penstock)]
        assert states.count("live") == 1 and states.count("previous") <= 1, states
    for one in generations(penstock):
        if one["state"] == "building":
            deadline = time.monotonic() + DEADLINE
            while time.monotonic() < deadline and next(
                other["state"] for other in generations(penstock) if other["generation"] == one["generation"]
            ) == "building":
                time.sleep(0.01)
    hashes = set()
    expected = high_watermarks(penstock)
    for one in generations(penstock):
        if one["state"] in ("live", "previous", "held"):
            status, report = ask(penstock, "POST", VIEW + "/verify", {"generation": one["generation"]})
            assert status == 200 and report["same"] and report["as_of"] == expected, report
            hashes.add(tuple(partition["kept"] for partition in report["partitions"]))
    assert len(hashes) == 1, "replays of one definition come to one state"


def rows_of(penstock, view, **parameters):
    status, answer = ask(penstock, "GET", f"/v1/views/{view}", limit=100000, **parameters)
    assert status == 200, answer
    return answer["rows"]


def test_a_definition_with_control_characters_is_taken_and_starts_again(start_penstock, tmp_path):
    penstock = start_penstock()
    file = tmp_path / "odd.yaml"
    escapes = ["\\x7f", "\\u0080", "\\u0085", "\\u009f", "\\u2028", "\\ufffe", "\\uffff"]
    file.write_text("views:\n" + "".join(
        f"""  odd_{number}:\n    where: "data.a == 'x{escape}y'"\n    window: {{ tumble: 1h }}\n    aggregates: {{ n: count() }}\n"""
        for number, escape in enumerate(escapes)))
    applied = command(penstock, "view", "apply", str(file), "--output", "json")
    assert applied.returncode == 0, applied.stderr
    text = "x\x7fy"
    odd = {"source": "odd/1", "type": "t", "id": "1", "time": "2026-01-01T00:00:00Z", "data": {"a": text}}
    assert post(penstock, odd, "application/json")[0] == 200
    definitions = [one["definition"] for one in ask(penstock, "GET", "/v1/views/odd_2/generations")[1]["generations"]]
    assert definitions[0]["where"] == "data.a == 'x\x85y'"
    assert penstock.stop() == 0
    penstock = start_penstock()
    eventually(lambda: [row["n"] for row in rows_of(penstock, "odd_0")] == [1])
    again = [one["definition"] for one in ask(penstock, "GET", "/v1/views/odd_2/generations")[1]["generations"]]
    assert again == definitions
    assert [one["action"] for one in json.loads(command(penstock, "view", "apply", str(file), "--output", "json").stdout)["views"]] == [
        "unchanged"] * len(escapes)
    # An aggregation computed once is a definition too.
    status, once = ask(penstock, "POST", "/v1/aggregate", {"where": f"data.a == '{text}'", "window": {"tumble": "1h"}, "aggregates": {"n": "count()"}})
    assert status == 200 and [row["n"] for row in once["rows"]] == [1], once


def test_applying_an_unchanged_file_undoes_nothing(start_penstock, tmp_path):
    penstock = start_penstock()
    strict = tmp_path / "strict.yaml"
    strict.write_text("views:\n  strict:\n    key: [source]\n    window: { tumble: 1h }\n    aggregates: { n: count() }\n")
    assert command(penstock, "view", "apply", str(strict)).returncode == 0
    send_weather(penstock)
    before = rows_of(penstock, "strict", after=json.dumps(high_watermarks(penstock)))
    assert command(penstock, "replay", "strict", "--allowed-lateness", "3650d", "--promote").returncode == 0
    eventually(lambda: ask(penstock, "GET", "/v1/views/strict", limit=1)[1]["generation"] == 2)
    lenient = rows_of(penstock, "strict")
    for arguments in ([], ["--hold"], []):
        applied = command(penstock, "view", "apply", str(strict), *arguments, "--output", "json")
        assert json.loads(applied.stdout)["views"] == [{"view": "strict", "generation": 2, "action": "unchanged"}], applied.stderr
        assert [one["state"] for one in ask(penstock, "GET", "/v1/views/strict/generations")[1]["generations"]] == ["previous", "live"]
        assert rows_of(penstock, "strict") == lenient
    assert len(before) <= len(lenient)


def test_a_replay_between_times_counts_the_events_between_them(start_penstock):
    penstock = start_penstock()
    send_weather(penstock)
    with gzip.open(WEATHER, "rt") as file:
        weather = [json.loads(line) for line in file]

    def expected(first, last):
        return sum(1 for one in weather if first <= one["time"] < last and one["type"] == "weather.observed" and one["data"].get("temp") is not None)

    for bounds in ({"to": "2013-01-10T00:00:00Z"}, {"from": "2013-06-01T12:00:00Z", "to": "2013-06-02T00:00:00Z"}, {"from": "2013-12-01"}):
        first, last = bounds.get("from", ""), bounds.get("to", "9")
        status, replay = ask(penstock, "POST", VIEW + "/replays", bounds)
        assert status == 202, replay
        generation = replay["generation"]
        done = wait_for(penstock, generation, "complete" if "to" in bounds else "held")
        rows = rows_of(penstock, "weather_daily", generation=generation)
        assert sum(row["observations"] for row in rows) == expected(first, last) > 0, bounds
        assert (done["from_time"] or "")[:10] == first[:10] and (done["to_time"] or "9")[:10] == last[:10], done
        # The same events by the other roads.
        events = command(penstock, "events", *[part for name, value in bounds.items() for part in (f"--{name}", value)])
        assert len(events.stdout.splitlines()) == sum(1 for one in weather if first <= one["time"] < last), bounds
        status, once = ask(penstock, "POST", "/v1/aggregate", {
            "where": "type == 'weather.observed' && data.temp != null", "window": {"tumble": "1d"}, "aggregates": {"n": "count()"}, **{
                name: value if len(value) > 10 else value + "T00:00:00Z" for name, value in bounds.items()}})
        assert status == 200 and sum(row["n"] for row in once["rows"]) == expected(first, last), once
        exported = subprocess.run(
            [str(BUILD / "penstock"), "log", "export", "--data", str(penstock.folder / "data")]
            + [part for name, value in bounds.items() for part in (f"--{name}", value)], capture_output=True, text=True, timeout=DEADLINE)
        assert len(exported.stdout.splitlines()) == sum(1 for one in weather if first <= one["time"] < last), exported.stderr
        status, diff = ask(penstock, "GET", VIEW + "/diff", from_generation=1, to_generation=generation, limit=100000)
        assert status == 200 and diff["added"] == 0 and diff["unchanged"] + diff["changed"] == len(rows), diff
        status, report = ask(penstock, "POST", VIEW + "/verify", {"generation": generation})
        assert status == 200 and report["same"], report


def test_a_removed_view_stays_away_until_it_is_applied(start_penstock, tmp_path):
    penstock = start_penstock()
    other = tmp_path / "other.yaml"
    other.write_text("views:\n  other:\n    window: { tumble: 1h }\n    aggregates: { n: count() }\n")
    assert command(penstock, "view", "apply", str(other)).returncode == 0
    send_weather(penstock)
    rows = rows_of(penstock, "weather_daily")
    exported = command(penstock, "view", "export")
    assert exported.returncode == 0 and "  weather_daily:" in exported.stdout and "  other:" in exported.stdout
    for output in ([], ["--output", "json"]):
        (tmp_path / "exported.yaml").write_text(command(penstock, "view", "export", *output).stdout)
        applied = command(penstock, "view", "apply", str(tmp_path / "exported.yaml"), "--output", "json")
        assert [one["action"] for one in json.loads(applied.stdout)["views"]] == ["unchanged", "unchanged"], applied.stderr

    removed = command(penstock, "view", "remove", "weather_daily", "--purge-after", "1h")
    assert removed.returncode == 0 and "view apply" in removed.stderr, removed.stderr
    assert ask(penstock, "GET", VIEW)[0] == 404
    assert [view["name"] for view in ask(penstock, "GET", "/v1/views")[1]["views"]] == ["other"]
    assert command(penstock, "view", "remove", "none").returncode == 1
    assert ask(penstock, "DELETE", "/v1/views/other", purge_after="soon")[1]["code"] == "invalid_parameter"
    assert penstock.stop() == 0
    penstock = start_penstock()
    assert ask(penstock, "GET", VIEW)[0] == 404, "the file of views has it as before"
    applied = command(penstock, "view", "apply", str(tmp_path / "exported.yaml"), "--output", "json")
    assert [one["action"] for one in json.loads(applied.stdout)["views"]] == ["restored", "unchanged"], applied.stderr
    eventually(lambda: rows_of(penstock, "weather_daily") == rows)

    status, gone = ask(penstock, "DELETE", "/v1/views/other", purge_after="0s")
    assert status == 200 and gone["generations"] == [1] and gone["configured"] is False, gone
    assert ask(penstock, "DELETE", "/v1/views/other")[0] == 404
    assert penstock.stop() == 0
    penstock = start_penstock()
    assert [view["name"] for view in ask(penstock, "GET", "/v1/views")[1]["views"]] == ["weather_daily"]
