// The mesh: services, their instances, health, and who owns which partitions.
import { h, fill, panel, table, pill, empty } from "./dom.js";
import { get } from "./api.js";

export async function show(root, { signal }) {
  const [answer, ready] = await Promise.all([
    get("/v1/mesh", {}, { signal }),
    fetch("/readyz", { signal }).then((one) => one.json()),
  ]);
  const checks = Object.entries(ready.checks ?? {});
  fill(root, h("h1", {}, "Mesh"), h("p", { class: "sub" }, "Services, their instances and their health."),
    panel("This service depends on", table([
      { name: "dependency", cell: ([name]) => name },
      { name: "state", cell: ([, one]) => pill(one === "ok" ? "ok" : "not ready", one === "ok" ? "good" : "bad") },
      { name: "detail", wrap: true, cell: ([, one]) => (one === "ok" ? "" : one) },
    ], checks, { caption: "Dependencies" })),
    answer.problem ? h("p", { class: "sub" }, pill("not complete", "bad"), " ", answer.problem) : "",
    panel("Services", answer.instances.length ? table([
      { name: "service" }, { name: "id" }, { name: "address" },
      { name: "health", cell: (one) => pill(one.health, one.health === "passing" ? "good" : "bad") },
      { name: "partitions", cell: (one) => (one.partitions ?? []).join(", ") || "–" },
    ], answer.instances, { caption: "Instances" }) : empty("All four services run in this one process (penstock up): there is no mesh to show.")));
}
