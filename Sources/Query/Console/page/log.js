// The log: partitions, the events themselves, and those that came too late for a view.
import { h, fill, panel, table, empty, failure, loading, number, json } from "./dom.js";
import { get } from "./api.js";
import { remember } from "./console.js";

export async function show(root, { parameters, signal }) {
  const partitions = h("div", {}, loading()), events = h("div", {}, loading()), late = h("div", {}, loading()), rejected = h("div", {}, loading());
  const field = (name, attributes) => h("input", { name, value: parameters[name] ?? "", ...attributes });
  const source = field("source", { placeholder: "station/EWR", size: "22", spellcheck: "false" }), type = field("type", { size: "18", spellcheck: "false" });
  const from = field("from", { placeholder: '2013-01-01 or {"0":118}', size: "24", spellcheck: "false" }), to = field("to", { size: "20" });
  const more = h("button", { type: "button", hidden: true }, "More");
  const query = () => Object.fromEntries([source, type, from, to].map((one) => [one.name, one.value]));
  let cursor = null, rows = [];

  async function load(next) {
    more.disabled = true;
    try {
      const answer = await get("/v1/events", { ...query(), limit: 50, cursor: next }, { signal });
      rows = next ? rows.concat(answer.events) : answer.events;
      cursor = answer.next_cursor;
      more.hidden = !cursor || rows.length >= 2000;
      fill(events, rows.length ? table(eventColumns, rows, { caption: "Events" }) : empty("No events match."));
    } catch (error) {
      if (error.name !== "AbortError") fill(events, failure(error));
    }
    more.disabled = false;
  }
  more.addEventListener("click", () => load(cursor));
  const find = (event) => {
    event?.preventDefault();
    remember("log", [], query());
    fill(events, loading());
    load(null);
  };

  fill(root, h("h1", {}, "Log"), h("p", { class: "sub" }, "Every event, in the order of its partition, as it came."),
    panel("Partitions", partitions),
    panel("Events", h("form", { class: "form", onsubmit: find }, h("label", {}, "source", source), h("label", {}, "type", type),
      h("label", {}, "from (event time, or offsets)", from), h("label", {}, "to", to), h("button", { class: "main" }, "Find")), events, h("div", { class: "row" }, more)),
    panel("Late events", late), panel("Rejected events", h("p", { class: "sub" }, "The last of each reason, since the service started."), rejected));
  load(null);
  showRejects(rejected, signal);
  try {
    const now = await get("/v1/overview", {}, { signal });
    fill(partitions, table([
      { name: "partition", number: true }, { name: "start", title: "first offset", number: true },
      { name: "high_watermark", title: "high watermark", number: true },
      { name: "events", number: true, cell: (row) => number(row.high_watermark - row.start) },
      { name: "time", title: "event-time watermark", cell: (row) => now.views.map((view) => view.event_time_watermarks?.[row.partition]).find(Boolean) ?? h("span", { class: "null" }, "none yet") },
    ], now.partitions, { caption: "Partitions" }));
    await showLate(late, now.views, signal);
  } catch (error) {
    if (error.name !== "AbortError") fill(partitions, failure(error));
  }
}

const eventColumns = [
  { name: "logpartition", title: "partition", number: true }, { name: "logoffset", title: "offset", number: true },
  { name: "time" }, { name: "source" }, { name: "type" }, { name: "sequence", number: true },
  { name: "data", wrap: true, cell: (row) => h("code", {}, row.data === undefined ? "" : json(row.data)) },
];

async function showRejects(root, signal) {
  try {
    const { rejects, suspects = [] } = await get("/v1/rejects", {}, { signal });
    fill(root, rejects.length ? table([
      { name: "code", cell: (row) => h("code", {}, row.code) }, { name: "time", cell: (row) => h("span", { title: row.time }, `${row.time.slice(0, 19)}Z`) },
      { name: "source", cell: (row) => row.source === null ? h("span", { class: "null" }, "unknown") : row.source },
      { name: "detail", wrap: true }, { name: "message_number", title: "message", number: true }, { name: "event", title: "event", number: true },
      { name: "message", title: "sent", wrap: true, cell: (row) => row.message === null ? h("span", { class: "null" }, "not kept") : h("code", { title: row.message }, row.message.length > 100 ? `${row.message.slice(0, 100)}…` : row.message) },
    ], rejects, { caption: "Rejected events" }) : empty("Nothing was rejected."));
    if (suspects.length) root.append(h("h3", {}, "Duplicates that may be none"), table([
      { name: "source", wrap: true }, { name: "count", title: "events", number: true }, { name: "sequence", title: "last sequence sent", number: true },
      { name: "last_sequence", title: "last in the log", number: true }, { name: "epoch", number: true },
    ], suspects, { caption: "Sources whose duplicates may be none" }));
  } catch (error) {
    if (error.name !== "AbortError") fill(root, failure(error));
  }
}

const lateReasons = { window_closed: "Its windows were closed.", expired: "Its windows were past the view's retention." };

async function showLate(root, views, signal) {
  const some = views.filter((view) => view.late > 0);
  if (!some.length) return fill(root, empty("No event came too late for any view."));
  fill(root);
  for (const view of some) {
    const answer = await get(`/v1/views/${encodeURIComponent(view.name)}/late`, { limit: 50 }, { signal });
    root.append(h("h3", {}, `${view.name}: ${number(view.late)}`), table([
      { name: "partition", number: true }, { name: "offset", number: true }, { name: "time" },
      { name: "window_start" }, { name: "reason", cell: (row) => h("span", { title: lateReasons[row.reason] ?? "" }, h("code", {}, row.reason)) },
      { name: "event", wrap: true, cell: (row) => row.event ? h("code", {}, json(row.event)) : h("span", { class: "null" }, "no longer in the log") },
    ], answer.events, { caption: `Late events of ${view.name}` }));
  }
}
