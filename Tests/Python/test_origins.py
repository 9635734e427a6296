"""Pages of other origins in a real browser: what they may ask of a server on this machine, which is nothing unless they are allowed."""

import functools
import http.server
import json
import threading

import pytest
from conftest import DEADLINE, Penstock, eventually
from test_console import Browser
from test_http import request

PAGE = b"<!doctype html><title>a page of another site</title><p>hello"


@pytest.fixture
def site():
    """A web server of somebody else's: its pages are another origin by their port, and another site by their name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


# Each gives what the page sees: the answer's status and text, "opaque" where it sees that there is one, or the error.
FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(async (r) => done(r.type === "opaque" ? "opaque" : [r.status, await r.text()]), (e) => done(String(e)))"""
SOCKET = """
const [url, done] = arguments, socket = new WebSocket(url);
socket.onmessage = (e) => { done(e.data); socket.close() };
socket.onclose = (e) => done("closed " + e.code)"""
STREAM = """
const [url, done] = arguments, stream = new EventSource(url);
stream.addEventListener("rows", (e) => { done(e.data); stream.close() });
stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) done("closed") }"""
IMAGE = """
const [url, done] = arguments, image = new Image();
image.onerror = () => done("error"); image.onload = () => done("loaded"); image.src = url"""

DEFINITION = """
views:
  mischief: { key: [source], window: { tumble: 1d }, watermark_delay: 1h, allowed_lateness: 1d, retention: 30d, aggregates: { n: count() } }
"""


class Page:
    def __init__(self, service, browser, origin):
        self.service, self.driver = service, browser.driver
        self.driver.set_script_timeout(DEADLINE)
        self.driver.get(origin + "/")
        self.run = functools.partial(self.driver.execute_async_script)

    def url(self, name, path, scheme="http"):
        return f"{scheme}://127.0.0.1:{self.service.ports[name]}{path}"

    def fetch(self, name, path, **options):
        return self.run(FETCH, self.url(name, path), options)


@pytest.fixture
def opened(tmp_path, site):
    """Opens a page of the site in a browser, beside a server with these settings."""
    kept = []

    def open_page(*settings, host="localhost"):
        service = Penstock(tmp_path, *settings)
        kept.append(service.stop)
        browser = Browser(service)
        kept.append(browser.driver.quit)
        return Page(service, browser, f"http://{host}:{site}")

    yield open_page
    for end in reversed(kept):
        end()


def views(service):
    return {view["name"] for view in json.loads(request(service.ports["query"], "GET", "/v1/views")[2])["views"]}


# `localhost` is another site than 127.0.0.1; 127.0.0.1 with another port is the same site and another origin.
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_of_another_origin_changes_and_reads_nothing(opened, host):
    page = opened(host=host)
    before = views(page.service)
    # Requests without a preflight, whose answer the page does not see, must not be done either.
    post = {"method": "POST", "mode": "no-cors", "body": DEFINITION, "headers": {"Content-Type": "text/plain"}}
    assert page.fetch("query", "/v1/views/apply", **post) == "opaque"
    assert page.fetch("ingest", "/v1/events", **{**post, "body": '{"source":"page/1","type":"weather.observed","data":{"temp":1}}'}) == "opaque"
    assert page.run(IMAGE, page.url("query", "/v1/views/weather_daily")) == "error"
    # Requests with a preflight, and reads.
    for path, options in (
        ("/v1/views", {}), ("/v1/views/weather_daily", {}), ("/v1/events", {}), ("/metrics", {}),
        ("/v1/views/apply", {"method": "POST", "body": DEFINITION}),
        ("/v1/sql", {"method": "POST", "body": '{"sql":"SELECT 1"}', "headers": {"Content-Type": "application/json"}}),
    ):
        assert "TypeError" in page.fetch("query", path, **options), path
    event = '{"source":"page/2","type":"weather.observed","data":{"temp":1}}'
    assert "TypeError" in page.fetch("ingest", "/v1/events", method="POST", body=event, headers={"Content-Type": "application/json"})
    assert page.run(SOCKET, page.url("ingest", "/v1/stream", "ws")) == "closed 1006"
    assert page.run(STREAM, page.url("query", "/v1/views/weather_daily/live")) == "closed"
    assert views(page.service) == before
    assert json.loads(request(page.service.ports["query"], "GET", "/v1/events")[2])["events"] == []
    assert page.service.ask_ledger()["ingest"]["received"] == 0


def test_the_form_of_another_page_sends_nothing(opened):
    page = opened()
    before = views(page.service)
    page.driver.execute_script("""
      const form = document.createElement("form"), field = document.createElement("input");
      form.method = "POST"; form.enctype = "text/plain"; form.action = arguments[0];
      field.name = "views: {}"; field.value = ""; form.append(field); document.body.append(form); form.submit()""",
                               page.url("query", "/v1/views/apply"))
    eventually(lambda: "origin_forbidden" in page.driver.page_source)
    assert views(page.service) == before


def test_an_allowed_origin_may_ask(opened, site):
    origin = f"http://localhost:{site}"
    page = opened(f"query.origins={origin}", f"ingest.origins={origin}")
    status, text = page.fetch("query", "/v1/views")
    assert status == 200 and "weather_daily" in text
    status, text = page.fetch("query", "/v1/sql", method="POST", body='{"sql":"SELECT 41 + 1 AS n"}', headers={"Content-Type": "application/json"})
    assert status == 200 and "42" in text
    event = '{"source":"page/3","type":"weather.observed","time":"2013-01-01T00:00:00Z","data":{"temp":1}}'
    status, text = page.fetch("ingest", "/v1/events", method="POST", body=event, headers={"Content-Type": "application/json"})
    assert status == 200 and json.loads(text)["appended"] == 1
    assert json.loads(page.run(SOCKET, page.url("ingest", "/v1/stream", "ws")))["kind"] == "welcome"
    assert json.loads(page.run(STREAM, page.url("query", "/v1/views/weather_daily/live")))["view"] == "weather_daily"
    # Another page is not meant.
    page.driver.get(f"http://127.0.0.1:{site}/")
    assert "TypeError" in page.fetch("query", "/v1/views")


def test_the_console_is_reached_by_a_link_and_works(opened):
    page = opened()
    page.driver.execute_script("location.href = arguments[0]", page.url("query", "/#views/weather_daily"))
    eventually(lambda: "weather_daily" in page.driver.execute_script("return document.body.innerText"))
    status, text = page.fetch("query", "/v1/sql", method="POST", body='{"sql":"SELECT 1 AS n"}', headers={"Content-Type": "application/json"})
    assert status == 200
