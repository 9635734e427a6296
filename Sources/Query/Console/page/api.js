// The HTTP API, with the token where one is set. The token lives in memory only and goes with the page.

import { json, parse } from "./dom.js";

let token = null;
export const hasToken = () => token !== null;
export const setToken = (text) => { token = text || null; };

const headers = (more) => ({ ...more, ...(token ? { Authorization: `Bearer ${token}` } : {}) });

/** What the service says went wrong: an RFC 9457 problem. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? `the service answered ${status}`);
    Object.assign(this, body ?? {}, { status });
  }
}

async function problem(answer) {
  let body = null;
  try { body = await answer.json(); } catch { /* not JSON: the status has to do */ }
  if (answer.status === 401) body = { ...body, title: "A token is needed", detail: `${body?.detail ?? ""} Set one with “Token”, above.` };
  return new Problem(answer.status, body);
}

export function url(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, one]) => one !== null && one !== undefined && one !== ""));
  // An empty group_by means something.
  if (parameters.group_by === "") query.set("group_by", "");
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

export async function get(path, parameters, options = {}) {
  const answer = await fetch(url(path, parameters), { headers: headers({ Accept: "application/json" }), ...options });
  if (!answer.ok) throw await problem(answer);
  return parse(await answer.text());
}

export async function send(method, path, body, options = {}) {
  const answer = await fetch(path, {
    method, headers: headers({ Accept: "application/json", "Content-Type": "application/json" }),
    body: body === undefined ? undefined : json(body), ...options,
  });
  if (!answer.ok) throw await problem(answer);
  const text = await answer.text();
  return text ? parse(text) : {};
}

export const post = (path, body, options) => send("POST", path, body ?? {}, options);

export async function download(path, parameters, name) {
  const answer = await fetch(url(path, parameters), { headers: headers({}) });
  if (!answer.ok) throw await problem(answer);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const pause = (time, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, time);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

/** Server-Sent Events by fetch, since EventSource sends no token. Reconnects with Last-Event-ID until `signal` aborts. */
export async function stream(path, parameters, signal, { event, state }) {
  let last = null, delay = 500;
  while (!signal.aborted) {
    try {
      const answer = await fetch(url(path, parameters), {
        headers: headers({ Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) }), signal,
      });
      if (!answer.ok) throw await problem(answer);
      state?.("live");
      delay = 500;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        rest += value;
        const blocks = rest.split(/\r?\n\r?\n/);
        rest = blocks.pop();
        for (const block of blocks) {
          let name = "message", data = [];
          for (const line of block.split(/\r?\n/)) {
            const [, field, text] = /^([^:]*):? ?(.*)$/s.exec(line);
            if (field === "event") name = text;
            else if (field === "data") data.push(text);
            else if (field === "id") last = text;
          }
          if (data.length) event(name, parse(data.join("\n")));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500 && error.status !== 429) return state?.("failed", error);
      state?.("waiting", error);
    }
    await pause(delay, signal);
    delay = Math.min(delay * 2, 10000);
  }
}
