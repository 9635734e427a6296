# `penstock compute` registers this by itself through the agent's API. Use this file if you prefer definitions in files:
# `consul services register config/consul/penstock-compute.hcl`. Give each instance an id and ports of its own.
services {
  name    = "penstock-compute"
  id      = "compute-1"
  address = "127.0.0.1"
  port    = 8000
  meta    = { version = "1" }
  checks = [
    { id = "ready-compute-1", name = "ready", http = "http://127.0.0.1:8000/readyz", interval = "1s", timeout = "1s" },
    # The leases on partitions depend on this check; the process passes it every half second.
    { id = "live-compute-1", name = "alive", ttl = "2s", status = "passing" }
  ]
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 21003
      # The default check runs every 10 seconds only; naming checks drops the alias to the service's own, so that is named too.
      checks = [
        { id = "mtls-compute-1", name = "mTLS", tcp = "127.0.0.1:21003", interval = "1s", timeout = "1s" },
        { id = "alias-compute-1", name = "the service itself", alias_service = "compute-1" },
      ]
      # Unless told, the sidecar binds every address the machine has.
      proxy { config { bind_address = "127.0.0.1" } }
    }
  }
}
