// The current state: rates, acknowledgements, lag, and whether the ledger adds up.
import { h, fill, panel, table, pill, short, seconds, span, number, failure, empty } from "./dom.js";
import { stream } from "./api.js";
import { Chart } from "./chart.js";

const KEPT = 300;

/** The quantile of what came between two states of a histogram: the upper bound of its bucket. */
function quantile(now, before, q) {
  const counts = now.buckets.map(([bound, count], index) => [bound, count - (before?.buckets[index]?.[1] ?? 0)]);
  const total = counts.length ? counts[counts.length - 1][1] : 0;
  if (total <= 0) return null;
  const found = counts.find(([, count]) => count >= q * total);
  return found ? found[0] ?? Infinity : null;
}

export async function show(root, { signal }) {
  const chart = new Chart({ time: true, small: true, gap: 5000, label: "Events per second over the last minutes", unit: "/s" });
  const stats = h("dl", { class: "grid" }), lag = h("div", {}), ledger = h("div", {}), rejects = h("div", {}), clocks = h("div", {}), state = h("span", { class: "pill" }, "connecting");
  fill(root,
    h("div", { class: "row between" }, h("div", {}, h("h1", {}, "Overview"), h("p", { class: "sub" }, "As it is now, each second.")), state),
    stats, panel("Events per second", chart.element, h("p", { class: "sub" }, "Received from devices, and counted by views.")),
    h("div", { class: "two" }, panel("Ledger", ledger), panel("Rejected, by reason", rejects)), clocks, panel("Partitions", lag));
  const history = [];
  const series = [{ name: "received", points: [] }, { name: "counted", points: [] }];
  stream("/v1/overview/live", {}, signal, {
    state: (name, error) => {
      state.className = `pill ${name === "live" ? "good" : name === "failed" ? "bad" : "warn"}`;
      state.textContent = name === "live" ? "live" : name === "failed" ? "not allowed" : "reconnecting";
      if (name === "failed") fill(stats, failure(error));
    },
    event: (_, now) => {
      const before = history[history.length - 1];
      history.push(now);
      if (history.length > KEPT) history.shift();
      const time = Date.parse(now.time), passed = before ? (time - Date.parse(before.time)) / 1000 : 0;
      const rate = (name) => passed > 0 && now[name] !== null && before[name] !== null ? Math.max(0, now[name] - before[name]) / passed : null;
      if (before && passed > 0) {
        if (rate("received") !== null) series[0].points.push({ x: time, y: rate("received") });
        series[1].points.push({ x: time, y: rate("applied") + rate("filtered") + rate("late") });
        for (const one of series) if (one.points.length > KEPT) one.points.shift();
        chart.set(series);
      }
      const old = history[Math.max(0, history.length - 11)];
      const p99 = now.ack_seconds ? quantile(now.ack_seconds, old === now ? null : old.ack_seconds, 0.99) ?? quantile(now.ack_seconds, null, 0.99) : null;
      fill(stats, now.received === null ? [] : [
        ["Events in", rate("received") === null ? "–" : `${short(rate("received"))}/s`],
        ["Appended", short(now.appended)], ["Duplicates", short(now.duplicates)], ...(now.suspect_duplicates > 0 ? [["Suspect duplicates", short(now.suspect_duplicates)]] : []), ...(now.events_ahead > 0 ? [["Ahead of the clock", short(now.events_ahead)]] : []), ["Rejected", short(now.rejected)], ["Late", short(now.late)], ...(now.amended > 0 ? [["Amended", short(now.amended)]] : []),
        ["Acks p99", p99 === null ? "–" : p99 === Infinity ? "> 10 s" : `≤ ${seconds(p99)}`], ["Devices", short(now.connections)],
      ].map(([name, text]) => h("div", { class: "stat" }, h("dt", {}, name), h("dd", {}, text))));
      const kinds = Object.entries(now.rejects ?? {}).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
      fill(rejects, now.rejects === null ? empty("Not known here: ask ingest's /metrics.") : kinds.length
        ? table([{ name: "code", cell: ([code]) => h("code", {}, code) }, { name: "events", number: true, cell: ([, count]) => number(count) }], kinds, { caption: "Rejects" })
        : empty("Nothing was rejected."));
      showClocks(clocks, now);
      showLedger(ledger, now);
      showLag(lag, now);
    },
  });
}

function showClocks(root, now) {
  const ahead = now.sources_ahead ?? [];
  fill(root, ahead.length ? panel("Clocks ahead", table([
    { name: "source", wrap: true, cell: (row) => h("a", { href: `#sources?prefix=${encodeURIComponent(row.source)}` }, row.source) },
    { name: "largest_event_time", title: "largest event time" },
    { name: "last_append_time", title: "last heard", cell: (row) => `${span((Date.parse(now.time) - Date.parse(row.last_append_time)) / 1000)} ago` },
  ], ahead, { caption: "Sources whose clock is ahead" }), h("p", { class: "sub" }, h("a", { href: "#sources?ahead=true" }, "All of them"))) : "");
}

function showLedger(root, now) {
  const rows = now.views.map((view) => ({ ...view, adds: view.appended === view.applied + view.filtered + view.late + view.pending }));
  const ingest = now.in_flight >= 0;
  fill(root,
    now.received === null ? h("p", {}, "Not known here: no ingest process has told the log of its devices. Ask its /metrics.") : h("p", {}, pill(ingest ? "adds up" : "does not", ingest ? "good" : "bad"), ` received ${number(now.received)} = appended ${number(now.appended)} + duplicates ${number(now.duplicates)} + rejected ${number(now.rejected)}${now.in_flight ? ` + in flight ${number(now.in_flight)}` : ""}`),
    table([
      { name: "name", title: "view", cell: (row) => h("a", { href: `#views/${encodeURIComponent(row.name)}` }, row.name) },
      ...["appended", "applied", "amended", "filtered", "late", "pending"].map((name) => ({ name, title: name === "amended" ? "of them amended" : name, number: true })),
      { name: "adds", title: "", cell: (row) => pill(row.adds ? "adds up" : row.gone ? `${number(row.gone)} gone by retention` : "does not", row.adds ? "good" : "bad") },
    ], rows, { caption: "Ledger" }));
}

function showLag(root, now) {
  fill(root, table([
    { name: "partition", number: true }, { name: "start", title: "first offset", number: true }, { name: "high_watermark", title: "high watermark", number: true },
    ...now.views.map((view) => ({
      name: view.name, title: `${view.name}: behind`, number: true,
      cell: (row) => number(Math.max(0, row.high_watermark - (view.offsets[row.partition] ?? 0))),
    })),
  ], now.partitions, { caption: "Lag of each partition" }));
}
