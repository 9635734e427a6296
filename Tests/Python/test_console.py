"""The console in a real browser: Debian's Chromium, driven by its driver.

Nothing is written to the browser's console but what the test expects, and no request leaves this machine."""

import json
import shutil
import time
import urllib.parse

import pytest
from conftest import DEADLINE, VIEWS, Penstock, event, wait_for_ack
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait


@pytest.fixture(scope="module")
def served(tmp_path_factory, weather):
    service = Penstock(tmp_path_factory.mktemp("console"))
    with service.connect() as ws:
        ws.recv()
        for start in range(0, len(weather), 100):
            ws.send("[" + ",".join(weather[start : start + 100]) + "]")
        wait_for_ack(ws, -(-len(weather) // 100))
    yield service
    assert service.stop() == 0, "".join(service.lines)


class Browser:
    def __init__(self, service):
        assert shutil.which("chromium") and shutil.which("chromedriver"), "Chromium and its driver are not installed: ops/test does that"
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                         "--disable-component-update", "--no-first-run", "--window-size=1280,900"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.origin = f"http://127.0.0.1:{service.ports['query']}"

    def open(self, place, width=1280, dark=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                    {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.driver.get("about:blank")
        self.driver.get(f"{self.origin}/#{place}")

    def wait(self, condition, message):
        return WebDriverWait(self.driver, DEADLINE, poll_frequency=0.05).until(lambda _: condition(), message)

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "main").text

    def shows(self, text):
        return self.wait(lambda: text in self.text(), f"{text!r} is not shown; there is: {self.text()[:2000]}")

    def problems(self):
        """The browser's complaints, and requests to other hosts."""
        found = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if urllib.parse.urlsplit(url).scheme in ("http", "https", "ws", "wss") and not url.startswith(self.origin):
                    found.append(f"asked {url}")
        return found


@pytest.fixture(scope="module")
def browser(served):
    browser = Browser(served)
    yield browser
    browser.driver.quit()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("place, expected", [
    ("overview", "adds up"), ("views/weather_daily", "station/EWR"), ("sql", "weather_daily"), ("log", "station/EWR"), ("sources", "station/EWR"),
    ("replay/weather_daily", "Start a replay"), ("mesh", "one process")])
def test_every_section_shows_without_a_complaint(browser, place, expected, dark, width):
    browser.problems()
    browser.open(place, width, dark)
    browser.shows(expected)
    assert browser.driver.execute_script("return document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= width, "it scrolls sideways"
    assert browser.problems() == []


def test_a_chart_is_drawn_of_the_rows(browser):
    browser.open("views/weather_daily?chart=temp_avg")
    browser.shows("station/JFK")
    coloured = """
      const canvas = document.querySelector(".chart canvas"), pen = canvas.getContext("2d");
      const data = pen.getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && Math.max(data[i], data[i+1], data[i+2]) - Math.min(data[i], data[i+1], data[i+2]) > 60)
        seen.add([data[i] >> 5, data[i + 1] >> 5, data[i + 2] >> 5].join());
      return seen.size"""
    browser.wait(lambda: browser.driver.execute_script(coloured) >= 3, "three lines in three colours")


def test_an_event_that_comes_shows_by_itself(browser, served):
    browser.open("views/weather_daily?chart=observations")
    browser.shows("station/EWR")
    source = f"station/LIVE{time.monotonic_ns()}"
    with served.connect() as ws:
        ws.recv()
        ws.send(json.dumps(event(source, 1, type="weather.observed", time="2013-06-01T00:00:00Z", data={"temp": 71.5})))
        wait_for_ack(ws, 1)
    sent = time.monotonic()
    browser.shows(source)
    # The console is sent changes twice a second; the machine may be busy, so this only catches one that waits to be asked.
    assert time.monotonic() - sent < 20


def test_a_late_event_is_listed_with_its_time(browser, served):
    with served.connect() as ws:
        ws.recv()
        ws.send(json.dumps(event("station/EWR", id="late", type="weather.observed", time="2011-01-01T06:30:00Z", data={"temp": 1.0})))
        wait_for_ack(ws, 1)

    def listed():
        browser.open("log")
        browser.shows("Late events")
        return browser.driver.find_elements(By.XPATH, "//td[normalize-space()='2011-01-01T06:30:00Z']")

    # The page counts what is late when it is opened.
    browser.wait(lambda: listed(), "the event's time is not shown")


def test_integers_beyond_what_a_double_holds_are_shown_as_they_are(browser, served):
    with served.connect() as ws:
        ws.recv()
        data = {"n": 9007199254740993, "list": [-9223372036854775807, 18446744073709551615, 1e300], "text": '"12345678901234567890"'}
        ws.send(json.dumps(event("whole", 1, type="weather.whole", time="2013-06-01T00:00:00Z", data=data)))
        wait_for_ack(ws, 1)

    def listed():
        browser.open("log?source=whole")
        browser.shows("Late events")
        return "9007199254740993" in browser.text()

    browser.wait(listed, "the event is not shown")
    for text in ("-9223372036854775807", "18446744073709551615", "12345678901234567890"):
        assert text in browser.text()
    browser.open("sql")
    browser.shows("weather_daily")
    editor = browser.driver.find_element(By.CSS_SELECTOR, "textarea")
    editor.clear()
    editor.send_keys("SELECT 9007199254740993 AS n")
    browser.driver.find_element(By.CSS_SELECTOR, "form button").click()
    browser.shows("9,007,199,254,740,993")
    assert browser.problems() == []


def test_an_error_in_sql_is_shown_at_its_place(browser):
    browser.open("sql")
    browser.shows("weather_daily")
    editor = browser.driver.find_element(By.CSS_SELECTOR, "textarea")
    editor.clear()
    editor.send_keys("SELECT observations FRM weather_daily")
    browser.driver.find_element(By.CSS_SELECTOR, "form button").click()
    mark = browser.wait(lambda: browser.driver.find_elements(By.ID, "sql-error"), "the place of the error is marked")[0]
    assert mark.text in ("weather_daily", "FRM")
    editor.clear()
    editor.send_keys("SELECT source, sum(observations) AS n FROM weather_daily WHERE source = 'station/EWR' GROUP BY source")
    browser.driver.find_element(By.CSS_SELECTOR, "form button").click()
    browser.shows("1 rows")


def test_a_replay_is_started_compared_and_promoted_each_after_asking(browser):
    def click(text, inside="main"):
        # Found and clicked within the page, in one step: the page redraws itself while it is looked at.
        script = """
            const [inside, text] = arguments;
            const button = [...document.querySelectorAll(inside + " button")].find((b) => b.innerText === text && b.offsetParent !== null);
            button?.click();
            return Boolean(button);"""
        browser.wait(lambda: browser.driver.execute_script(script, inside, text), f"a button {text!r}")

    browser.open("replay/weather_daily")
    browser.shows("generation 1")
    click("Start a replay")
    click("Start the replay", "dialog")
    click("Compare")
    browser.shows("same")
    click("Promote")
    click("Promote", "dialog")
    browser.shows("generation 2")


def test_a_generation_beside_the_live_one_is_dropped_after_asking(browser, served):
    browser.open("replay/weather_daily")
    browser.shows("previous")
    find = lambda inside, text: [b for b in browser.driver.find_elements(By.CSS_SELECTOR, f"{inside} button") if b.text == text and b.is_displayed()]
    browser.wait(lambda: find("main", "Drop"), "a button to drop the previous generation")
    click = lambda inside, text: browser.wait(lambda: browser.driver.execute_script(
        "const found = [...document.querySelectorAll(arguments[0])].find((one) => one.textContent === arguments[1]); found?.click(); return !!found",
        f"{inside} button", text), f"a button {text!r} to click")
    click("main", "Drop")
    browser.wait(lambda: find("dialog", "Drop it"), "it asks first")
    click("dialog", "Drop it")
    browser.shows("dropped")


def test_rejected_events_are_listed_with_their_reasons(browser, served):
    with served.connect() as ws:
        ws.recv()
        ws.send('{"source":"station/broken","type":"a","time":"yesterday"}')
        wait_for_ack(ws, 1, rejects=[])
    browser.open("log")
    browser.shows("invalid_time")
    browser.shows("station/broken")


def test_a_wrong_clock_and_a_silent_device_are_seen_at_a_glance(browser, served):
    cells = """
      return [...document.querySelectorAll("main tbody tr")].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"""
    rows = lambda: browser.driver.execute_script(cells)
    year = time.gmtime().tm_year + 5
    with served.connect() as ws:
        ws.recv()
        ws.send(json.dumps([event(f"fleet/{number}", 1, time=f"{year if number == 3 else 2013}-06-01T00:00:00Z") for number in range(150)]))
        wait_for_ack(ws, 1)
    browser.problems()

    def listed():
        browser.open("sources?prefix=fleet/")
        browser.shows("fleet/0")
        return len(rows()) == 100

    # The page shows what was counted when it is opened.
    browser.wait(listed, "a page of the fleet")
    click = lambda text: browser.driver.execute_script(
        "[...document.querySelectorAll('main button')].find((one) => one.innerText.startsWith(arguments[0]) && one.offsetParent).click()", text)
    click("More")
    browser.wait(lambda: len(rows()) == 150, "the whole fleet")
    click("largest event time")
    browser.wait(lambda: rows() and rows()[0][0] == "fleet/3", "the clock furthest ahead comes first")
    assert rows()[0][1].endswith("y ahead") and rows()[1][1].endswith("y behind"), rows()[:2]
    assert rows()[0][3].endswith("ago"), rows()[0]
    pills = browser.driver.execute_script("return [...document.querySelectorAll('main tbody tr:first-child .pill')].map((one) => one.className)")
    assert pills == ["pill bad"], pills
    click("largest event time")
    browser.wait(lambda: rows() and rows()[0][0] != "fleet/3", "the other way around")
    assert "order=largest_event_time" in browser.driver.current_url, "the address says what is shown"
    browser.open("sources?prefix=fleet/&idle_for=1h")
    browser.shows("No source is like that.")
    browser.open("sources?ahead=true")
    browser.wait(lambda: [row[0] for row in rows()] == ["fleet/3"], "clocks that are ahead")
    browser.open("overview")
    browser.shows("Clocks ahead")
    browser.shows("fleet/3")
    assert browser.problems() == []


def test_ten_thousand_points_are_drawn_as_what_shows_of_them(browser):
    browser.open("views/weather_daily?chart=temp_avg")
    browser.shows("station/JFK")
    drawn = browser.driver.execute_async_script("""
      const done = arguments[arguments.length - 1];
      import("/console/chart.js").then(({ Chart, thinned }) => {
        const points = Array.from({ length: 10000 }, (_, at) => ({ x: at * 3600e3, y: Math.sin(at / 50) + (at * 7919) % 13 / 13, final: at < 9990 }));
        points[5000].y = 1000;
        points[6000].y = null;
        const chart = new Chart({ time: true, gap: 3600e3 });
        chart.element.style.width = "800px";
        document.querySelector("main").append(chart.element);
        let lines = 0;
        const lineTo = CanvasRenderingContext2D.prototype.lineTo;
        CanvasRenderingContext2D.prototype.lineTo = function (...at) { lines += 1; return lineTo.apply(this, at); };
        const start = performance.now();
        for (let turn = 0; turn < 20; turn++) chart.set([{ name: "a", points }]);
        const each = (performance.now() - start) / 20;
        CanvasRenderingContext2D.prototype.lineTo = lineTo;
        const frame = chart.frame, px = (x) => frame.left + (x - chart.range[0]) / (chart.range[1] - chart.range[0]) * frame.width;
        const kept = thinned(points, 0, points.length, 1.5 * 3600e3, px);
        const few = thinned(points.slice(0, 300), 0, 300, 1.5 * 3600e3, (x) => x / 3600e3 * 2);
        chart.element.remove();
        done({ lines: lines / 20, each, width: frame.width, spike: kept.some(({ point }) => point.y === 1000),
          breaks: kept.filter(({ joined }) => !joined).map(({ point }) => point.x / 3600e3), few: few.length,
          open: kept.filter(({ point }) => !point.final).length, rising: kept.every(({ point }, at) => !at || kept[at - 1].point.x < point.x) });
      }).catch((error) => done(String(error)));
    """)
    assert isinstance(drawn, dict), drawn
    print(f"10,000 points: {drawn['each']:.1f} ms, {drawn['lines']:.0f} lines on {drawn['width']:.0f} pixels")
    # Axes and their marks are some of the lines.
    assert drawn["lines"] <= 4 * drawn["width"] + 50, drawn
    assert drawn["spike"] and drawn["rising"], "the greatest of a column shows, and all in their order"
    assert drawn["breaks"] == [0, 6001], "the line breaks at the gap, and nowhere else"
    assert drawn["few"] == 300, "where each has a column of its own, all show"
    assert drawn["open"] >= 1, "what is not final shows as such"
