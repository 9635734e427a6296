// The sources: who is silent, and whose clock is wrong.
import { h, fill, panel, table, pill, empty, failure, loading, span } from "./dom.js";
import { get } from "./api.js";
import { remember } from "./console.js";

const SILENT = 600, GONE = 86400, BEHIND = 3600, SHOWN = 5000;

/** How far a source's largest event time is from its last append time, in seconds. */
const offset = (row) => (Date.parse(row.largest_event_time) - Date.parse(row.last_append_time)) / 1000;

function clock(row) {
  const ahead = offset(row);
  if (row.ahead) return pill(ahead > 0 ? `${span(ahead)} ahead` : "was ahead", "bad");
  return ahead < -BEHIND ? pill(`${span(-ahead)} behind`, "warn") : "";
}

export async function show(root, { parameters, signal }) {
  const list = h("div", {}, loading()), more = h("button", { type: "button", hidden: true }, "More");
  const prefix = h("input", { name: "prefix", value: parameters.prefix ?? "", placeholder: "station/", size: "22", spellcheck: "false" });
  const idle = h("input", { name: "idle_for", value: parameters.idle_for ?? "", placeholder: "10m", size: "8", spellcheck: "false" });
  const ahead = h("input", { type: "checkbox", checked: parameters.ahead === "true" });
  let order = parameters.order ?? "", cursor = null, rows = [];
  const query = () => ({ prefix: prefix.value, idle_for: idle.value, ahead: ahead.checked ? "true" : "", order });

  // A heading orders by its column: first the end that matters, then the other.
  const heading = (name, title, first) => h("button", {
    type: "button", class: "quiet", "aria-label": `Order by ${title}`,
    onclick: () => { order = order === first ? (first.startsWith("-") ? name : `-${name}`) : first; find(); },
  }, title, order === name ? " ↑" : order === `-${name}` ? " ↓" : "");
  const columns = () => [
    { name: "source", title: heading("source", "source", "source"), wrap: true },
    { name: "clock", cell: clock },
    { name: "largest_event_time", title: heading("largest_event_time", "largest event time", "-largest_event_time") },
    { name: "last_append_time", title: heading("last_append_time", "last heard", "last_append_time"),
      cell: (row) => h("span", { title: row.last_append_time }, row.idle_seconds < SILENT ? `${span(row.idle_seconds)} ago`
        : pill(`silent for ${span(row.idle_seconds)}`, row.idle_seconds < GONE ? "warn" : "bad")) },
    { name: "events", title: heading("events", "events", "-events"), number: true },
    { name: "sequence", number: true, cell: (row) => row.sequence ?? "" }, { name: "epoch", number: true, cell: (row) => row.epoch ?? "" },
    { name: "partition", number: true },
  ];

  async function load(next) {
    more.disabled = true;
    try {
      const answer = await get("/v1/sources", { ...query(), limit: 100, cursor: next }, { signal });
      rows = next ? rows.concat(answer.sources) : answer.sources;
      cursor = answer.next_cursor;
      more.hidden = !cursor || rows.length >= SHOWN;
      fill(list, rows.length ? table(columns(), rows, { caption: "Sources" }) : empty("No source is like that."));
    } catch (error) {
      if (error.name !== "AbortError") fill(list, failure(error));
    }
    more.disabled = false;
  }
  const find = (event) => {
    event?.preventDefault();
    remember("sources", [], query());
    fill(list, loading());
    load(null);
  };
  more.addEventListener("click", () => load(cursor));
  fill(root, h("h1", {}, "Sources"), h("p", { class: "sub" }, "Each device by its name: what its clock says, and when it was heard of last."),
    panel(null, h("form", { class: "form", onsubmit: find }, h("label", {}, "begins with", prefix), h("label", {}, "silent for", idle),
      h("div", { class: "checks" }, h("label", {}, ahead, "clock ahead")), h("button", { class: "main" }, "Find")), list, h("div", { class: "row" }, more)));
  await load(null);
}
