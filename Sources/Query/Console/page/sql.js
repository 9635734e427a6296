// SQL over the views: an editor, the schema beside it, the result as a table and a chart.
import { h, fill, panel, table, empty, failure, loading, number } from "./dom.js";
import { get, post } from "./api.js";
import { Chart } from "./chart.js";

let text = null;

export async function show(root, { signal, parameters }) {
  const { views } = await get("/v1/views", {}, { signal });
  const first = views[0];
  text = parameters.sql ?? text ?? (first ? `SELECT * FROM ${first.name} ORDER BY window_start DESC LIMIT 50` : "SELECT 1");
  const editor = h("textarea", { class: "code", spellcheck: "false", "aria-label": "SQL", autocapitalize: "off" }, text);
  const button = h("button", { class: "main", type: "submit" }, "Run"), result = h("div", {}, empty("Run it with Ctrl+Enter."));
  let attempt = null;

  async function run(event) {
    event?.preventDefault();
    attempt?.abort();
    attempt = new AbortController();
    signal.addEventListener("abort", () => attempt.abort());
    text = editor.value;
    button.disabled = true;
    fill(result, loading());
    const start = performance.now();
    try {
      const answer = await post("/v1/sql", { sql: text, limit: 10000 }, { signal: attempt.signal });
      showResult(result, answer, performance.now() - start);
    } catch (error) {
      if (error.name !== "AbortError") fill(result, failure(error), marked(text, error));
    } finally {
      button.disabled = false;
    }
  }

  editor.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run(event); });
  const insert = (word) => { editor.setRangeText(word, editor.selectionStart, editor.selectionEnd, "end"); editor.focus(); };
  fill(root, h("h1", {}, "SQL"), h("p", { class: "sub" }, "Each view is a table. Read-only; bounded in time and memory."),
    h("div", { class: "side" },
      panel("Tables", views.length ? views.map((view) => h("details", { open: view === first },
        h("summary", {}, view.name),
        h("ul", { class: "list" }, view.columns.map((column) =>
          h("li", {}, h("button", { type: "button", class: "quiet", onclick: () => insert(column.name) }, h("code", {}, column.name), " ", h("small", {}, column.type))))))) : empty("No views yet.")),
      h("div", {},
        h("section", { class: "panel" }, h("form", { onsubmit: run }, editor, h("div", { class: "row" }, button, h("small", { class: "sub" }, "Ctrl+Enter")))),
        h("section", { class: "panel", "aria-live": "polite" }, result))));
}

/** The statement with the place of the error marked. */
function marked(sql, error) {
  const at = error?.position ?? error?.offset;
  if (!Number.isInteger(at)) return null;
  const place = new TextDecoder().decode(new TextEncoder().encode(sql).slice(0, at)).length;
  const word = /^\S+/.exec(sql.slice(place))?.[0] ?? "";
  return h("pre", {}, sql.slice(0, place), h("mark", { id: "sql-error" }, word || "⟨here⟩"), sql.slice(place + word.length));
}

function showResult(root, answer, time) {
  const rows = answer.rows.map((row) => Array.isArray(row) ? Object.fromEntries(answer.columns.map((column, index) => [column.name, row[index]])) : row);
  const isNumber = (column) => ["int64", "uint64", "double", "integer", "real"].includes(column.type);
  const times = answer.columns.find((column) => column.type === "timestamp" || /^(window_start|day|time)$/.test(column.name));
  const numbers = answer.columns.filter(isNumber), texts = answer.columns.filter((column) => !isNumber(column) && column !== times && !["window_end", "final"].includes(column.name));
  fill(root,
    h("p", { class: "sub" }, `${number(rows.length)} rows in ${Math.round(time)} ms${answer.truncated ? ", cut at the limit" : ""}`),
    rows.length ? table(answer.columns.map((column) => ({ name: column.name, number: isNumber(column) })), rows.slice(0, 1000), { caption: "Result" }) : empty("No rows."));
  if (!times || !numbers.length || rows.length < 2) return;
  const choice = h("select", {}, numbers.map((column) => h("option", {}, column.name))), chart = new Chart({ time: true, label: "The result over time" });
  const draw = () => {
    const series = new Map();
    for (const row of [...rows].sort((a, b) => (String(a[times.name]) < String(b[times.name]) ? -1 : 1))) {
      const x = Date.parse(row[times.name]), key = texts.map((column) => row[column.name]).join(" · ") || choice.value;
      if (Number.isNaN(x)) continue;
      if (!series.has(key)) series.set(key, { name: key, points: [] });
      series.get(key).points.push({ x, y: row[choice.value] ?? null });
    }
    chart.set([...series.values()]);
  };
  choice.addEventListener("change", draw);
  root.append(h("div", { class: "form" }, h("label", {}, "chart", choice)), chart.element);
  draw();
}
