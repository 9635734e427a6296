// A chart of series over time, or over any number, on a canvas: axes, gaps, hover, zoom by dragging, keys by keyboard.
import { h, fill, number, short } from "./dom.js";

const UNITS = [1e3, 5e3, 15e3, 60e3, 300e3, 900e3, 3600e3, 3 * 3600e3, 6 * 3600e3, 12 * 3600e3, 864e5, 2 * 864e5, 7 * 864e5, 14 * 864e5, 30 * 864e5, 91 * 864e5, 365 * 864e5];

/** Round numbers from `low` to `high`, about `count` of them. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

export function timeTicks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const step = UNITS.find((one) => one >= raw) ?? 365 * 864e5;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
  return { step, found };
}

export function timeText(time, step = 0) {
  const text = new Date(time).toISOString();
  if (step >= 864e5) return text.slice(0, 10);
  if (step >= 60e3) return `${text.slice(5, 10)} ${text.slice(11, 16)}`;
  return text.slice(11, 19);
}

/** First index with points[i].x >= x. */
function search(points, x) {
  let low = 0, high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].x < x) low = middle + 1; else high = middle;
  }
  return low;
}

/** What shows of points, in their order, as `[{point, joined}]`; `joined`: no gap lies before it. Of those in one column of pixels that are
 *  joined and alike, the first, the least, the greatest and the last. */
export function thinned(points, start, end, gap, px) {
  const kept = [];
  let column = null, held = null;
  const flush = () => {
    if (held) [held.first, held.low, held.high, held.last].filter((at, index, all) => all.indexOf(at) === index).sort((a, b) => a - b)
      .forEach((at, index) => kept.push({ point: points[at], joined: index > 0 || held.joined }));
    held = null;
  };
  for (let at = start; at < end; at++) {
    const point = points[at], before = at > start ? points[at - 1] : null;
    if (point.y === null) { flush(); continue; }
    const joined = !!before && before.y !== null && point.x - before.x <= gap, x = Math.floor(px(point.x));
    if (!held || !joined || x !== column || (before.final === false) !== (point.final === false)) {
      flush();
      column = x;
      held = { first: at, low: at, high: at, last: at, joined };
      continue;
    }
    held.last = at;
    if (point.y < points[held.low].y) held.low = at;
    if (point.y > points[held.high].y) held.high = at;
  }
  flush();
  return kept;
}

/** `series`: `[{name, points: [{x, y, final, end}]}]`, points in the order of x; y null is a gap.
 *  `options`: `{time, unit, gap, small, label}`; `gap`: a step in x beyond which the line breaks. */
export class Chart {
  constructor(options) {
    this.options = options;
    this.series = [];
    this.hidden = new Set();
    this.zoom = null;
    this.canvas = h("canvas", { tabindex: options.small ? null : "0", role: "img", "aria-label": options.label ?? "Chart" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.legend = h("div", { class: "legend" });
    this.reset = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.setZoom(null) }, "Whole range");
    this.element = h("div", {}, h("div", { class: `chart ${options.small ? "small" : ""}` }, this.canvas, this.tip), h("div", { class: "row between" }, this.legend, this.reset));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    if (!options.small) this.listen();
  }

  set(series) {
    this.series = series.slice(0, 8);
    fill(this.legend, this.series.length > 1 && this.series.map((one, index) =>
      h("button", { type: "button", "aria-pressed": String(!this.hidden.has(one.name)), onclick: () => this.toggle(one.name) },
        h("span", { class: "swatch", style: { "--swatch": `var(--c${index})` } }), one.name)),
      series.length > 8 && h("small", {}, `and ${series.length - 8} more, not drawn: filter by key`));
    this.draw();
  }

  toggle(name) {
    this.hidden.has(name) ? this.hidden.delete(name) : this.hidden.add(name);
    this.set(this.series);
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.reset.hidden = !zoom;
    this.tip.hidden = true;
    this.hover = null;
    this.draw();
  }

  listen() {
    const canvas = this.canvas;
    const at = (event) => event.clientX - canvas.getBoundingClientRect().left;
    canvas.addEventListener("pointerdown", (event) => { this.from = at(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => { this.pointer = at(event); this.hoverAt(this.xOf(this.pointer)); });
    canvas.addEventListener("pointerup", (event) => {
      const from = this.from, to = at(event);
      this.from = undefined;
      if (from !== undefined && Math.abs(to - from) > 8) this.setZoom([this.xOf(Math.min(from, to)), this.xOf(Math.max(from, to))]);
      else this.draw();
    });
    canvas.addEventListener("pointerleave", () => { this.hover = null; this.tip.hidden = true; this.draw(); });
    canvas.addEventListener("dblclick", () => this.setZoom(null));
    canvas.addEventListener("keydown", (event) => {
      const all = this.visible()[0]?.points ?? [];
      if (event.key === "Escape") return this.setZoom(null);
      if (event.key === "+" || event.key === "-") {
        const [low, high] = this.range, middle = this.hover ?? (low + high) / 2, half = (high - low) * (event.key === "+" ? 0.25 : 1);
        return this.setZoom([middle - half, middle + half]);
      }
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move || !all.length) return;
      event.preventDefault();
      const now = this.hover === null || this.hover === undefined ? search(all, this.range[0]) : search(all, this.hover) + move;
      this.hoverAt(all[Math.max(0, Math.min(all.length - 1, now))].x);
    });
  }

  visible() { return this.series.filter((one) => !this.hidden.has(one.name)); }

  xOf(pixel) {
    const { left, width } = this.frame;
    return this.range[0] + ((pixel - left) / width) * (this.range[1] - this.range[0]);
  }

  hoverAt(x) {
    let best = null;
    for (const one of this.visible()) for (const index of [search(one.points, x) - 1, search(one.points, x)]) {
      const point = one.points[index];
      if (point && (best === null || Math.abs(point.x - x) < Math.abs(best - x))) best = point.x;
    }
    this.hover = best;
    this.draw();
    if (best === null) { this.tip.hidden = true; return; }
    const lines = this.visible().map((one) => ({ one, point: one.points[search(one.points, best)] })).filter(({ point }) => point?.x === best);
    fill(this.tip, h("strong", {}, this.options.time ? timeText(best, this.options.gap ?? 0) : number(best)),
      lines.map(({ one, point }) => h("div", { class: "row" },
        h("span", { class: "swatch", style: { "--swatch": `var(--c${this.series.indexOf(one)})` } }),
        `${one.name}: ${point.y === null ? "null" : number(point.y)}${this.options.unit ?? ""}${point.final === false ? " (can still change)" : ""}`)));
    this.tip.hidden = false;
    const pixel = this.frame.left + ((best - this.range[0]) / (this.range[1] - this.range[0])) * this.frame.width;
    const width = this.tip.offsetWidth;
    this.tip.style.left = `${pixel + 14 + width > this.canvas.clientWidth ? Math.max(0, pixel - width - 14) : pixel + 14}px`;
    this.tip.style.top = "14px";
  }

  draw() {
    const { canvas } = this, width = canvas.clientWidth, height = canvas.clientHeight, scale = devicePixelRatio || 1;
    if (!width || !height) return;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(name).trim();
    pen.scale(scale, scale);
    pen.font = "12px system-ui, sans-serif";
    const shown = this.visible();
    let low = Infinity, high = -Infinity, first = Infinity, last = -Infinity;
    for (const { points } of shown) if (points.length) {
      first = Math.min(first, points[0].x);
      last = Math.max(last, points[points.length - 1].x);
    }
    if (first === Infinity) {
      pen.fillStyle = color("--soft");
      pen.fillText("Nothing to draw", 12, 24);
      this.range = [0, 1];
      this.frame = { left: 0, width };
      return;
    }
    if (this.zoom) [first, last] = this.zoom;
    if (first === last) { const pad = this.options.time ? (this.options.gap || 3600e3) : 1; first -= pad; last += pad; }
    const parts = shown.map(({ points }) => [Math.max(0, search(points, first) - 1), Math.min(points.length, search(points, last) + 2)]);
    shown.forEach(({ points }, index) => {
      for (let at = parts[index][0]; at < parts[index][1]; at++) {
        const { x, y } = points[at];
        if (y === null || x < first || x > last) continue;
        if (y < low) low = y;
        if (y > high) high = y;
      }
    });
    if (low === Infinity) { low = 0; high = 1; }
    if (low > 0 && low < high * 0.5) low = 0;
    if (low === high && low === 0) high = 1;
    if (low === high) { low -= Math.abs(low) * 0.1; high += Math.abs(high) * 0.1; }
    const pad = (high - low) * 0.06;
    high += pad;
    if (low !== 0) low -= pad;
    const marks = ticks(low, high, this.options.small ? 3 : 5), texts = marks.map((one) => short(one) + (this.options.unit ?? ""));
    const left = Math.max(...texts.map((text) => pen.measureText(text).width)) + 14, right = 12, top = 10, bottom = 24;
    const frame = { left, width: width - left - right }, tall = height - top - bottom;
    this.range = [first, last];
    this.frame = frame;
    const px = (x) => left + ((x - first) / (last - first)) * frame.width, py = (y) => top + (1 - (y - low) / (high - low)) * tall;
    pen.strokeStyle = color("--grid");
    pen.fillStyle = color("--soft");
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    marks.forEach((one, index) => {
      const y = Math.round(py(one)) + 0.5;
      pen.beginPath(); pen.moveTo(left, y); pen.lineTo(width - right, y); pen.stroke();
      pen.fillText(texts[index], left - 7, y);
    });
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const across = Math.max(2, Math.floor(frame.width / 110));
    const bottoms = this.options.time ? timeTicks(first, last, across) : { found: ticks(first, last, across) };
    for (const one of bottoms.found) {
      const text = this.options.time ? timeText(one, bottoms.step) : short(one), half = pen.measureText(text).width / 2;
      const x = px(one);
      pen.beginPath(); pen.moveTo(Math.round(x) + 0.5, top + tall); pen.lineTo(Math.round(x) + 0.5, top + tall + 4); pen.stroke();
      if (x - half > 0 && x + half < width) pen.fillText(text, x, top + tall + 7);
    }
    pen.save();
    pen.beginPath(); pen.rect(left - 1, top - 6, frame.width + 3, tall + 12); pen.clip();
    shown.forEach((one, index) => this.line(pen, one, parts[index], px, py, color(`--c${this.series.indexOf(one)}`), color("--panel")));
    pen.restore();
    if (this.hover !== null && this.hover !== undefined) {
      pen.strokeStyle = color("--soft");
      pen.setLineDash([3, 3]);
      pen.beginPath(); pen.moveTo(px(this.hover), top); pen.lineTo(px(this.hover), top + tall); pen.stroke();
      pen.setLineDash([]);
    }
    if (this.from !== undefined && this.pointer !== undefined) {
      pen.fillStyle = color("--accent");
      pen.globalAlpha = 0.15;
      pen.fillRect(Math.min(this.from, this.pointer), top, Math.abs(this.pointer - this.from), tall);
      pen.globalAlpha = 1;
    }
  }

  /** Solid where final, dashed where it can still change; broken at gaps; dots where points are few. */
  line(pen, one, [start, end], px, py, color, back) {
    const { points } = one, gap = this.options.gap ? this.options.gap * 1.5 : Infinity;
    pen.strokeStyle = color;
    pen.lineWidth = 1.6;
    const shown = thinned(points, start, end, gap, px);
    for (const open of [false, true]) {
      pen.setLineDash(open ? [4, 4] : []);
      pen.beginPath();
      shown.forEach(({ point, joined }, index) => {
        if (!joined || (point.final === false) !== open) return;
        const { point: before } = shown[index - 1];
        pen.moveTo(px(before.x), py(before.y));
        pen.lineTo(px(point.x), py(point.y));
      });
      pen.stroke();
    }
    pen.setLineDash([]);
    const dots = end - start <= 120 && !this.options.small;
    for (let at = start; at < end; at++) {
      const point = points[at];
      if (point.y === null) continue;
      const alone = !(points[at - 1]?.y != null && point.x - points[at - 1].x <= gap) && !(points[at + 1]?.y != null && points[at + 1].x - point.x <= gap);
      if (!dots && !alone) continue;
      pen.beginPath();
      pen.arc(px(point.x), py(point.y), 2.6, 0, 7);
      pen.fillStyle = point.final === false ? back : color;
      pen.fill();
      pen.lineWidth = 1.2;
      pen.stroke();
    }
  }
}
