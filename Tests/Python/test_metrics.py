"""docs/metrics.md, the alerts and the dashboard, held to what the processes count; read by a real Prometheus."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest
from conftest import DEADLINE, ROOT, Penstock, event, free_port, receive, wait_for_ack
from test_http import request
from test_services import Services

DOCUMENT = ROOT / "docs" / "metrics.md"
ALERTS = ROOT / "ops" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "ops" / "grafana" / "penstock.json"
ROW = re.compile(r"^\| `(penstock_[a-z_]+)` \| (counter|gauge|histogram) \| ([a-z]*) \| ([^|]*) \| (.+) \|$", re.M)


def documented():
    """Name to type, labels and meaning."""
    rows = ROW.findall(DOCUMENT.read_text())
    assert len(rows) == len({row[0] for row in rows}), "a metric is there twice"
    return {name: (kind, set(re.findall(r"`([a-z]+)`", labels)), meaning) for name, kind, _, labels, meaning in rows}


def shown(text):
    """The same, as a process shows it."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    labels = {name: set() for name in kinds}
    for name, names in re.findall(r"^([a-z_]+)(?:\{([^}]*)\})? ", text, re.M):
        family = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
        labels[family] |= {label for label in re.findall(r'([a-z]+)="', names)} - {"le"}
    return {name: (kind, labels[name], helps[name]) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    service = Penstock(tmp_path_factory.mktemp("metrics"))
    with service.connect() as ws:
        receive(ws, "welcome")
        ws.send(json.dumps([event("metrics", n) for n in range(1, 101)]))
        assert wait_for_ack(ws, 1)["appended"] == 100
    assert request(service.ports["query"], "GET", "/v1/views")[0] == 200
    yield service
    assert service.stop() == 0, "".join(service.lines)


def metrics(service):
    status, headers, body = request(service.ports["query"], "GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return body.decode()


def test_each_metric_shown_is_documented_and_each_documented_is_shown(up):
    of_up = {name: row for name, row in documented().items() if not name.startswith("penstock_wire_")}
    # Counted from time to time only.
    deadline = time.monotonic() + 30
    while "penstock_compute_events_pending" not in metrics(up) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shown(metrics(up)) == of_up


def test_the_metrics_between_services_are_documented_too(tmp_path):
    services = Services(tmp_path)
    try:
        seen = {}
        for name in ("log", "ingest"):
            # An answer is counted once it is out: the second has the first.
            for _ in range(2):
                status, _, body = request(services.ports[name], "GET", "/metrics")
                assert status == 200
            seen |= {name: row for name, row in shown(body.decode()).items() if name.startswith("penstock_wire_")}
        assert seen == {name: row for name, row in documented().items() if name.startswith("penstock_wire_")}
    finally:
        services.close()


def promtool(*arguments, text=None):
    tool = shutil.which("promtool")
    assert tool, "Debian's package prometheus is missing: ops/test installs it"
    result = subprocess.run([tool, *arguments], input=text, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_promtool_finds_nothing_wrong(up):
    assert promtool("check", "metrics", text=metrics(up)).strip() == ""
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS))


def names_in(expressions):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bpenstock_[a-z_]+", expressions)}


def test_alerts_and_dashboard_ask_for_metrics_that_there_are():
    known = set(documented())
    alerts = ALERTS.read_text()
    expressions = re.findall(r"^ +expr: (.*)$", alerts, re.M)
    assert len(expressions) > 5 and names_in("\n".join(expressions)) <= known
    told = set(re.findall(r"^\| `(Penstock[A-Za-z]+)` \|", DOCUMENT.read_text(), re.M))
    assert set(re.findall(r"alert: (\S+)", alerts)) == told
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(asked) > 20 and all(names_in(expression) for expression in asked)
    assert names_in("\n".join(asked)) <= known
    assert len({panel["id"] for panel in panels}) == len(panels)
    # Every metric that is no process's has its place there.
    assert {name for name in known if not re.search(r"_(process|build|metrics)_", name)} <= names_in("\n".join(asked))


def test_a_real_prometheus_scrapes_it_and_answers_the_dashboards_questions(up, tmp_path):
    server = shutil.which("prometheus")
    assert server, "Debian's package prometheus is missing: ops/test installs it"
    port = free_port()
    config = tmp_path / "prometheus.yaml"
    config.write_text(
        "global: { scrape_interval: 1s, evaluation_interval: 1s }\n"
        f"rule_files: [{json.dumps(str(ALERTS))}]\n"
        "scrape_configs:\n  - job_name: penstock\n"
        f"    static_configs: [{{ targets: ['127.0.0.1:{up.ports['query']}'] }}]\n"
    )
    promtool("check", "config", str(config))
    process = subprocess.Popen(
        [server, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def ask(path):
        try:
            status, _, body = request(port, "GET", path)
        except OSError:
            return None
        return json.loads(body) if status == 200 else None

    def query(expression):
        answer = ask("/api/v1/query?query=" + urllib.parse.quote(expression))
        return answer["data"]["result"] if answer else []

    try:
        deadline = time.monotonic() + DEADLINE
        while not (found := query("penstock_ingest_events_appended_total")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "nothing was scraped"
            time.sleep(0.1)
        assert [sample["value"][1] for sample in found] == ["100"]
        assert query("up") and query("up")[0]["value"][1] == "1"
        rules = [rule for group in ask("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
        assert rules and all(rule["health"] in ("ok", "unknown") for rule in rules)
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
                answer = ask("/api/v1/query?query=" + urllib.parse.quote(expression))
                assert answer and answer["status"] == "success", expression
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE)
