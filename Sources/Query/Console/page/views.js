// Views: definition, rows as a chart and a table, kept up to date.
import { h, fill, panel, table, value, pill, empty, failure, loading, copy, number, seconds } from "./dom.js";
import { get, stream, url, download } from "./api.js";
import { Chart } from "./chart.js";
import { remember } from "./console.js";

const ROWS = 10000;

export async function show(root, { rest, parameters, signal }) {
  const { views } = await get("/v1/views", {}, { signal });
  if (!views.length) return fill(root, h("h1", {}, "Views"), empty("No view is defined yet. Add one to the file of views and run `penstock view apply`."));
  const view = views.find((one) => one.name === rest[0]) ?? views[0];
  const main = h("div", {});
  fill(root, h("h1", {}, "Views"), h("p", { class: "sub" }, "Windowed aggregations, kept as events come."),
    h("div", { class: "side" },
      h("section", { class: "panel" }, h("ul", { class: "list" }, views.map((one) =>
        h("li", {}, h("a", { href: `#views/${encodeURIComponent(one.name)}`, "aria-current": one === view ? "true" : null }, one.name,
          h("small", {}, `generation ${one.generation} · ${number(one.lag.events)} behind`)))))),
      main));
  showView(main, view, parameters, signal);
}

function windowText(window) {
  if (window.tumble) return `tumbling, ${window.tumble}`;
  if (window.hop) return `hopping, ${window.hop.size} every ${window.hop.every}`;
  if (window.session) return `sessions, gap ${window.session.gap}`;
  return JSON.stringify(window);
}

const DURATIONS = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 864e5 };
const duration = (text) => [...String(text).matchAll(/(\d+)(ms|s|m|h|d)/g)].reduce((sum, [, count, unit]) => sum + count * DURATIONS[unit], 0);

function showView(root, view, parameters, signal) {
  const keys = view.columns.filter((one) => one.role === "key").map((one) => one.name);
  const numbers = view.columns.filter((one) => one.role === "aggregate" && ["int64", "uint64", "double"].includes(one.type)).map((one) => one.name);
  const input = (name, attributes) => h("input", { name, value: parameters[name] ?? "", ...attributes });
  const from = input("from", { placeholder: "2013-01-01", size: "20" }), to = input("to", { placeholder: "now", size: "20" });
  const where = input("where", { placeholder: keys.length ? `${keys[0]} == "…"` : "", size: "28", spellcheck: "false" });
  const step = input("step", { placeholder: "as defined", size: "8" });
  const measure = h("select", {}, numbers.map((one) => h("option", { selected: one === parameters.chart }, one)));
  const kept = new Set(parameters.group_by === undefined ? keys : parameters.group_by.split(",").filter(Boolean));
  const boxes = keys.map((key) => h("label", {}, h("input", { type: "checkbox", value: key, checked: kept.has(key), onchange: run }), key));
  const chart = new Chart({ time: true, gap: duration(parameters.step || view.window.tumble || view.window.hop?.every || ""), label: `${view.name} over time` });
  const result = h("div", {}, loading()), info = h("span", { class: "sub" }), state = pill("…");
  let attempt = null, source = null;

  const query = () => {
    const chosen = boxes.map((box) => box.firstChild).filter((box) => box.checked).map((box) => box.value);
    return { from: from.value, to: to.value, where: where.value, step: step.value, group_by: chosen.length === keys.length ? null : chosen.join(",") };
  };
  const curl = () => {
    const text = Object.entries(query()).filter(([, one]) => one !== null && one !== "").map(([name, one]) => ` \\\n  --data-urlencode '${name}=${one.replaceAll("'", "'\\''")}'`).join("");
    copy(`curl -G '${location.origin}/v1/views/${encodeURIComponent(view.name)}'${text}`);
  };

  function run(event) {
    event?.preventDefault();
    attempt?.abort();
    attempt = new AbortController();
    signal.addEventListener("abort", () => attempt.abort());
    const asked = query();
    remember("views", [view.name], { ...asked, chart: measure.value });
    fill(result, loading());
    follow(asked, attempt.signal);
  }

  function follow(asked, stop) {
    const rows = new Map();
    let columns = view.columns, changed = new Set(), timer = null;
    const kept = asked.group_by === null ? keys : asked.group_by.split(",").filter(Boolean);
    const identity = (row) => JSON.stringify([row.window_start, view.window.session ? null : row.window_end, ...kept.map((key) => row[key])]);
    const draw = () => {
      timer = null;
      const all = [...rows.values()].sort((a, b) => (a.window_start < b.window_start ? -1 : a.window_start > b.window_start ? 1 : 0));
      fill(info, `${number(all.length)} rows${all.length >= ROWS ? " (the first; narrow the range)" : ""}`);
      const name = measure.value, series = new Map();
      chart.options.gap = duration(asked.step || view.window.tumble || view.window.hop?.every || "") || undefined;
      for (const row of all) {
        const key = kept.map((one) => row[one]).join(" · ") || name;
        if (!series.has(key)) series.set(key, { name: key, points: [] });
        series.get(key).points.push({ x: Date.parse(row.window_start), y: row[name] ?? null, final: row.final });
      }
      chart.set([...series.values()]);
      const shown = all.slice(-500).reverse();
      fill(result, all.length ? table(columns.map((column) => ({
        name: column.name, number: ["int64", "uint64", "double"].includes(column.type),
        cell: column.name === "final" ? (row) => pill(row.final ? "final" : "open", row.final ? "good" : "warn") : null,
      })), shown, { caption: `Rows of ${view.name}`, rowClass: (row) => changed.has(identity(row)) ? "changed" : null })
        : empty("No rows match. Widen the range, or wait for events."),
        all.length > 500 && h("p", { class: "sub" }, "The table shows the newest 500; the CSV has them all."));
      changed = new Set();
    };
    const put = (row, isChange) => {
      const id = identity(row);
      if (row.deleted || row.removed) rows.delete(id);
      else if (rows.has(id) || rows.size < ROWS) rows.set(id, row);
      if (isChange) changed.add(id);
    };
    stream(`/v1/views/${encodeURIComponent(view.name)}/live`, { ...asked, interval: "500ms" }, stop, {
      state: (name, error) => {
        state.className = `pill ${name === "live" ? "good" : name === "failed" ? "bad" : "warn"}`;
        state.textContent = name === "live" ? "live" : name === "failed" ? "stopped" : "reconnecting";
        if (name === "failed") fill(result, failure(error));
      },
      event: (name, data) => {
        if (name === "lagged") return rows.clear();
        if (data.columns) columns = data.columns.map((one) => ({ ...view.columns.find((known) => known.name === one.name), ...one }));
        if (name === "rows" && data.reset) rows.clear();
        for (const row of data.rows ?? (data.row ? [data.row] : [])) put(row, name === "change");
        timer ??= setTimeout(draw, 120);
      },
    });
  }
  measure.addEventListener("change", run);

  fill(root,
    h("section", { class: "panel" },
      h("div", { class: "row between" }, h("h2", {}, view.name), h("div", { class: "row" }, info, state)),
      h("form", { class: "form", onsubmit: run },
        h("label", {}, "from", from), h("label", {}, "to", to), keys.length > 0 && h("label", {}, "where", where), !view.window.session && h("label", {}, "step", step),
        keys.length > 0 && h("div", { class: "field" }, "keep keys", h("div", { class: "checks" }, boxes)),
        h("label", {}, "chart", measure), h("button", { class: "main" }, "Show")),
      chart.element,
      h("p", { class: "sub" }, "Drag to zoom, double-click or Escape for the whole range. Dashed lines and hollow dots can still change."),
      h("div", { class: "row" },
        h("button", { type: "button", onclick: curl }, "Copy as curl"),
        h("button", { type: "button", onclick: () => download(`/v1/views/${encodeURIComponent(view.name)}`, { ...query(), format: "csv", limit: 100000 }, `${view.name}.csv`).catch((error) => fill(result, failure(error))) }, "Download CSV"))),
    h("section", { class: "panel" }, result),
    definition(view));
  run();
}

function definition(view) {
  const counts = view.counts ?? {};
  return panel("Definition", h("dl", { class: "facts" },
    [["where", h("code", {}, view.where ?? "every event")], ["keys", (view.keys ?? []).map((key) => typeof key === "string" ? key : JSON.stringify(key)).join(", ") || "none"], ["window", windowText(view.window)],
      ["windows are closed by", view.watermark === "partition" ? "the largest event time of the partition" : "each source's own event time"], ["watermark delay", view.watermark_delay], ["allowed lateness", view.allowed_lateness], ["retention", view.retention ?? "for ever"],
      ["generation", String(view.generation)], ["lag", `${number(view.lag.events)} events, ${view.lag.seconds === null ? "–" : seconds(view.lag.seconds)}`],
      ["counts", `applied ${number(counts.applied)}${counts.amended ? ` (${number(counts.amended)} of them amended)` : ""} · filtered ${number(counts.filtered)} · late ${number(counts.late)} · pending ${number(counts.pending)}`],
      ["errors", `where ${number(counts.where_errors)} · arguments ${number(counts.argument_errors)}`],
    ].map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])));
}
