// Elements without markup in strings: what comes from the log is text, never HTML.

/** An element: `h("button", { class: "main", onclick: f }, "Run")`. Children that are null or false are left out. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(4)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

export const empty = (...text) => h("p", { class: "empty" }, ...text);
export const loading = () => h("p", { class: "loading" }, "Loading…");
export const panel = (title, ...children) => h("section", { class: "panel" }, title && h("h2", {}, title), ...children);
export const pill = (text, kind) => h("span", { class: `pill ${kind ?? ""}` }, text);

/** An error as people can act on it. */
export function failure(error) {
  const detail = error?.detail ?? error?.message ?? String(error);
  return h("div", { class: "notice bad", role: "alert" },
    h("strong", {}, error?.title ?? "That did not work"), h("div", {}, detail),
    error?.code && h("small", {}, h("code", {}, error.code)));
}

/** A table. `columns`: `{name, title, number, cell(row)}`. */
export function table(columns, rows, { caption, rowClass } = {}) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption ?? "Table" },
    h("table", {},
      h("thead", {}, h("tr", {}, columns.map((column) =>
        h("th", { scope: "col", class: column.number ? "number" : null }, column.title ?? column.name)))),
      h("tbody", {}, rows.map((row) => h("tr", { class: rowClass?.(row) }, columns.map((column) =>
        h("td", { class: [column.number && "number", column.wrap && "wrap"].filter(Boolean).join(" ") || null },
          column.cell ? column.cell(row) : value(row[column.name]))))))));
}

/** A value of a result as a cell shows it. */
export function value(one) {
  if (one === null || one === undefined) return h("span", { class: "null" }, "null");
  if (typeof one === "number" || one instanceof Whole) return number(one);
  if (typeof one === "object") return json(one);
  return String(one);
}

/** An integer that a double would round: it counts as the nearest double, and is shown digit by digit. */
export class Whole extends Number {
  constructor(text) {
    super(text);
    this.text = text;
  }
  toString() { return this.text; }
  toLocaleString(locale) { return BigInt(this.text).toLocaleString(locale); }
  toJSON() { return `\0${this.text}`; }
}

/** JSON text of a value, integers as they came. */
export const json = (one) => JSON.stringify(one)?.replace(/"\\u0000(-?\d+)"/g, "$1");

/** Reads JSON: integers beyond 2^53 are `Whole`. */
export function parse(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const isRounded = (token) => /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) => isRounded(token) ? `"\\u0000${token}"` : token);
  return JSON.parse(marked, (_, one) => typeof one === "string" && /^\0-?\d+$/.test(one) ? new Whole(one.slice(1)) : one);
}

export function number(one, digits = 6) {
  if (one instanceof Whole) return one.toLocaleString("en");
  if (!Number.isFinite(one)) return "–";
  if (Number.isInteger(one)) return one.toLocaleString("en");
  return Number(one.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 9 });
}

/** 1234567 → 1.23 M */
export function short(one) {
  if (one === null || one === undefined || !Number.isFinite(one)) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]])
    if (Math.abs(one) >= size) return `${Number((one / (unit === "k" ? 1e3 : size)).toPrecision(3))} ${unit}`;
  return Number(one.toPrecision(4)).toLocaleString("en");
}

export const seconds = (one) =>
  one === null || !Number.isFinite(one) ? "–" : one < 1 ? `${Number((one * 1000).toPrecision(3))} ms` : `${Number(one.toPrecision(3))} s`;

/** A length of time in its largest unit: 7200 → 2 h */
export function span(one) {
  for (const [unit, size] of [["y", 31556952], ["d", 86400], ["h", 3600], ["min", 60]])
    if (one >= size) return `${Number((one / size).toPrecision(2))} ${unit}`;
  return `${Math.max(0, Math.round(one))} s`;
}

export function toast(text) {
  const note = h("div", {}, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 4000);
}

/** Asks before something is done. Resolves to what the form holds, or null. */
export function ask(title, body, { confirm = "Do it", danger = false, fields = [] } = {}) {
  const dialog = document.getElementById("dialog");
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" },
      h("h2", {}, title), ...[body].flat(),
      fields.map((field) => h("label", { class: "field" }, field.title, field.element)),
      h("div", { class: "row" },
        h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"),
        h("button", { class: danger ? "danger" : "main", value: "yes" }, confirm)));
    fill(dialog, form);
    dialog.onclose = () => resolve(dialog.returnValue === "yes" ? Object.fromEntries(fields.map((f) => [f.name, f.element.value])) : null);
    dialog.returnValue = "";
    dialog.showModal();
  });
}

/** Copies, and says so. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    await ask("Copy this", h("pre", {}, text), { confirm: "Close" });
  }
}
