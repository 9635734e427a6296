// Replays: start, watch, compare, promote, roll back. Each asks first.
import { h, fill, panel, table, value, pill, empty, failure, loading, ask, toast, number, seconds } from "./dom.js";
import { get, post, send } from "./api.js";

/** The states of a generation that is not live and still there: docs/replay.md. */
const KEPT = new Set(["building", "held", "complete", "previous"]);

const path = (view, rest = "") => `/v1/views/${encodeURIComponent(view)}${rest}`;

export async function show(root, { rest, signal }) {
  const { views } = await get("/v1/views", {}, { signal });
  if (!views.length) return fill(root, h("h1", {}, "Replay"), empty("No view is defined yet."));
  const view = views.find((one) => one.name === rest[0]) ?? views[0];
  const main = h("div", {});
  fill(root, h("h1", {}, "Replay"), h("p", { class: "sub" }, "The log reprocessed into a new generation, beside the live one."),
    h("div", { class: "side" }, h("section", { class: "panel" }, h("ul", { class: "list" }, views.map((one) =>
      h("li", {}, h("a", { href: `#replay/${encodeURIComponent(one.name)}`, "aria-current": one === view ? "true" : null }, one.name, h("small", {}, `live: generation ${one.generation}`)))))), main));
  await showView(main, view, signal);
}

async function showView(root, view, signal) {
  const list = h("div", {}, loading()), diff = h("div", {}), notice = h("div", { role: "status" });
  let shown = null;
  const act = async (work, done) => {
    fill(notice);
    try { await work(); toast(done); await refresh(); } catch (error) { if (error.name !== "AbortError") fill(notice, failure(error)); }
  };
  const begin = async () => {
    const from = h("input", { value: "earliest", spellcheck: "false" }), promote = h("select", {}, h("option", { value: "" }, "when I say so"), h("option", { value: "yes" }, "by itself, when it has caught up"));
    const answer = await ask(`Replay ${view.name}`, h("p", {}, "A new generation is computed from the log. The live one goes on meanwhile."), {
      confirm: "Start the replay", fields: [{ name: "from", title: "from: earliest, a time, or an offset vector such as {\"0\":118}", element: from }, { name: "promote", title: "take over", element: promote }],
    });
    if (!answer) return;
    await act(() => post(path(view.name, "/replays"), { from: answer.from.startsWith("{") ? JSON.parse(answer.from) : answer.from, promote: answer.promote === "yes" }), "The replay has begun");
  };
  const promote = async (generation) => {
    if (await ask(`Promote generation ${generation}?`, h("p", {}, `Queries of ${view.name} will be answered from generation ${generation}. The present one is kept for a roll-back.`), { confirm: "Promote" }))
      await act(() => post(path(view.name, "/promote"), { generation }), `Generation ${generation} is live`);
  };
  const rollback = async () => {
    if (await ask("Roll back?", h("p", {}, `Queries of ${view.name} will be answered from the generation before.`), { confirm: "Roll back", danger: true }))
      await act(() => post(path(view.name, "/rollback"), {}), "Rolled back");
  };
  const end = async (one) => {
    const builds = one.state === "building";
    const answer = await ask(builds ? "Cancel this replay?" : `Drop generation ${one.generation}?`, h("p", {}, "The rows it has computed are deleted."), { confirm: builds ? "Cancel the replay" : "Drop it", danger: true });
    if (answer) await act(() => send("DELETE", path(view.name, `/replays/${encodeURIComponent(one.id)}`)), builds ? "Cancelled" : "Dropped");
  };
  const compare = async (generation, live) => {
    fill(diff, loading());
    try {
      const answer = await get(path(view.name, "/diff"), { from_generation: live, to_generation: generation, limit: 500 }, { signal });
      showDiff(diff, answer, live, generation);
    } catch (error) { if (error.name !== "AbortError") fill(diff, failure(error)); }
  };

  async function refresh() {
    const [answer, { views }] = await Promise.all([get(path(view.name, "/replays"), {}, { signal }), get("/v1/views", {}, { signal })]);
    const live = views.find((one) => one.name === view.name)?.generation ?? view.generation;
    const replays = answer.replays ?? answer;
    // Drawn anew only when something has changed: a button keeps the focus it has.
    const state = JSON.stringify([live, replays]);
    if (state === shown) return replays;
    shown = state;
    fill(list,
      h("p", {}, "Live: ", pill(`generation ${live}`, "good")),
      replays.length ? table([
        { name: "id" }, { name: "generation", number: true }, { name: "state", cell: (one) => pill(one.state, /fail/.test(one.state) ? "bad" : /live|caught|done|ready|held/.test(one.state) ? "good" : "warn") },
        { name: "progress", cell: (one) => progress(one) },
        { name: "rate", number: true, cell: (one) => one.events_per_second ? `${number(Math.round(one.events_per_second))}/s` : "–" },
        { name: "left", number: true, cell: (one) => one.seconds_left === null || one.seconds_left === undefined ? "–" : seconds(one.seconds_left) },
        { name: "actions", title: "", cell: (one) => h("div", { class: "row" },
          KEPT.has(one.state) && h("button", { type: "button", onclick: () => compare(one.generation, live) }, "Compare"),
          KEPT.has(one.state) && one.state !== "complete" && h("button", { type: "button", onclick: () => promote(one.generation) }, "Promote"),
          KEPT.has(one.state) && h("button", { type: "button", class: "danger", onclick: () => end(one) }, one.state === "building" ? "Cancel" : "Drop")) },
      ], replays, { caption: "Replays" }) : empty("No replay yet."));
    return replays;
  }

  fill(root, notice, panel(view.name, h("div", { class: "row" },
    h("button", { type: "button", class: "main", onclick: begin }, "Start a replay"), h("button", { type: "button", onclick: rollback }, "Roll back")), h("div", {}, list)), diff);
  while (!signal.aborted) {
    try { await refresh(); } catch (error) { if (!signal.aborted) fill(list, failure(error)); return; }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function progress(one) {
  const done = one.events_done ?? one.progress?.events ?? 0, total = one.events_total ?? one.progress?.total ?? 0;
  const share = total ? Math.min(1, done / total) : 1;
  return h("div", { title: `${number(done)} of ${number(total)} events` },
    h("div", { class: "bar", role: "progressbar", "aria-valuenow": String(Math.round(share * 100)), "aria-valuemin": "0", "aria-valuemax": "100" }, h("i", { style: { width: `${share * 100}%` } })),
    h("small", {}, `${Math.floor(share * 100)} %`));
}

function showDiff(root, answer, from, to) {
  const rows = answer.rows ?? answer.differences ?? [];
  // Window and keys stand in the row itself, aggregates in one or both of its sides.
  const own = (row) => Object.keys(row).filter((name) => !["change", "from", "to"].includes(name));
  const names = [...new Set(rows.flatMap((row) => [...own(row), ...Object.keys(row.to ?? row.from ?? {})]))];
  fill(root, panel(`Generation ${from} against ${to}`, rows.length
    ? table([{ name: "change", cell: (row) => pill(row.change ?? row.kind, row.change === "removed" || row.change === "gone" ? "bad" : row.change === "added" ? "good" : "warn") },
        ...names.filter((name) => name !== "change").map((name) => ({
          name, cell: (row) => {
            const before = row.from?.[name], after = row.to?.[name];
            if (row.from && row.to && JSON.stringify(before) !== JSON.stringify(after)) return h("span", {}, h("del", {}, value(before)), " → ", h("strong", {}, value(after)));
            return value(after ?? before ?? row[name]);
          },
        }))], rows, { caption: "Differences" })
    : h("p", {}, pill("same", "good"), " Both hold the same rows at the same offsets.")));
}
