"""The services' descriptions of themselves, held to what they answer: schemathesis asks what OpenAPI allows and what it does not."""

import json

import hypothesis
import pytest
import schemathesis
from conftest import DEADLINE, Penstock, eventually, wait_for_ack
from hypothesis import HealthCheck, Phase
from schemathesis.specs.openapi import checks as openapi
from test_http import request
from test_services import Services

# Endless answers are read elsewhere (test_query_more.py, test_console.py).
ENDLESS = ["/v1/views/{view}/live", "/v1/overview/live"]

def no_failure(context, response, case):
    """Slow or unavailable answers are a 504 or a 503 that the description names; a 500 is always a fault."""
    assert response.status_code != 500, response.text


CHECKS = [
    no_failure,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.unsupported_method,
    openapi.allow_header_conformance,
]


@schemathesis.serializer("application/vnd.penstock.batches", "application/vnd.penstock.views")
def batches(context, value):
    """Bytes as they are: none of them is a batch; any of them may be an entry of the record of views."""
    return value if isinstance(value, bytes) else str(value).encode()


def bounded(examples):
    return hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def load(port):
    status, _, body = request(port, "GET", "/openapi.json")
    assert status == 200
    schema = schemathesis.openapi.from_dict(json.loads(body))
    schema.config.update(base_url=f"http://127.0.0.1:{port}")

    # Half of the time a view and a generation that there are.
    @schema.hook
    def map_path_parameters(context, path_parameters):
        if path_parameters and len(str(path_parameters)) % 2:
            for name, value in (("view", "weather_daily"), ("generation", 1), ("id", 1), ("partition", 0)):
                if name in path_parameters:
                    path_parameters[name] = value
        return path_parameters

    return schema


@pytest.fixture(scope="module")
def running(tmp_path_factory, weather):
    """One of its own: what is asked at random changes views."""
    service = Penstock(tmp_path_factory.mktemp("api"))
    with service.connect() as ws:
        ws.recv(timeout=DEADLINE)
        ws.send("[" + ",".join(weather[:1000]) + "]")
        wait_for_ack(ws, 1)
    yield service
    assert service.stop() == 0, "".join(service.lines)


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    services = Services(tmp_path_factory.mktemp("services"))
    yield services
    # Random reports of ingest processes that do not exist need not add up, and are forgotten soon.
    eventually(lambda: services.get("query", "/v1/ledger")[1]["balanced"])
    services.close()


@pytest.fixture(scope="module")
def query_api(running):
    return load(running.ports["query"])


@pytest.fixture(scope="module")
def ingest_api(running):
    return load(running.ports["ingest"])


@pytest.fixture(scope="module")
def log_api(apart):
    return load(apart.ports["log"])


@pytest.fixture(scope="module")
def compute_api(apart):
    return load(apart.ports["compute"])


def hold(case):
    """Asks, and holds the answer to the description."""
    case.call_and_validate(checks=CHECKS, timeout=DEADLINE)


@schemathesis.pytest.from_fixture("query_api").exclude(path=ENDLESS).parametrize()
@bounded(12)
def test_query_answers_as_it_says(case):
    hold(case)


@schemathesis.pytest.from_fixture("ingest_api").parametrize()
@bounded(25)
def test_ingest_answers_as_it_says(case):
    hold(case)


@schemathesis.pytest.from_fixture("log_api").parametrize()
@bounded(10)
def test_log_answers_as_it_says(case):
    hold(case)


@schemathesis.pytest.from_fixture("compute_api").parametrize()
@bounded(10)
def test_compute_answers_as_it_says(case):
    hold(case)
