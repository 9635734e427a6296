// The page's frame: which section is shown, the theme, the token, the health of the service.
import { h, fill, loading, failure, ask } from "./dom.js";
import { setToken, hasToken } from "./api.js";

const sections = ["overview", "views", "sql", "log", "sources", "replay", "mesh"];
const content = document.getElementById("content");
let leave = null;

/** `#views/station_daily?from=2013-01-01` → section, the rest of the path, parameters. */
function place() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [section, ...rest] = path.split("/").map(decodeURIComponent);
  return { section: sections.includes(section) ? section : "overview", rest, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

async function show() {
  leave?.abort();
  const here = new AbortController();
  leave = here;
  const { section, rest, parameters } = place();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${section}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${section === "sql" ? "SQL" : section[0].toUpperCase() + section.slice(1)} · Penstock`;
  const root = h("div", {}, loading());
  fill(content, root);
  try {
    const module = await import(`./${section}.js`);
    if (!here.signal.aborted) await module.show(root, { rest, parameters, signal: here.signal });
  } catch (error) {
    if (!here.signal.aborted) fill(root, failure(error));
  }
}

/** Changes the parameters in the address without showing the section anew. */
export function remember(section, rest, parameters) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, one]) => one !== "" && one !== null && one !== undefined));
  const text = [section, ...rest].map(encodeURIComponent).join("/");
  history.replaceState(null, "", `#${text}${query.toString() ? `?${query}` : ""}`);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
function theme(choice) {
  document.documentElement.dataset.theme = choice ?? (dark.matches ? "dark" : "light");
  dispatchEvent(new Event("resize"));
}
const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
dark.addEventListener("change", () => theme(stored()));
document.getElementById("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", next); } catch { /* private mode: for this page only */ }
  theme(next);
  show();
});
theme(stored());

document.getElementById("token").addEventListener("click", async () => {
  const field = h("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  const answer = await ask("Access token", "Needed where the service asks for one. It is kept in this page only, until it is closed.",
    { confirm: "Use it", fields: [{ name: "token", title: "Token", element: field }] });
  if (!answer) return;
  setToken(answer.token);
  document.getElementById("token").textContent = hasToken() ? "Token ✓" : "Token";
  show();
});

async function health() {
  const pill = document.getElementById("health");
  try {
    const answer = await fetch("/readyz"), body = await answer.json();
    const wrong = Object.entries(body.checks ?? {}).filter(([, one]) => one !== "ok");
    pill.className = `pill ${answer.ok ? "good" : "bad"}`;
    pill.textContent = answer.ok ? "ready" : "not ready";
    pill.title = wrong.map(([name, problem]) => `${name}: ${problem}`).join("\n");
  } catch {
    pill.className = "pill bad";
    pill.textContent = "not reached";
  }
  setTimeout(health, 5000);
}
health();

addEventListener("hashchange", () => { show(); content.focus(); });
show();
