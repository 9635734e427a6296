# `penstock log` registers this by itself through the agent's API. Use this file if you prefer definitions in files:
# `consul services register config/consul/penstock-log.hcl`. Give each instance an id and ports of its own.
services {
  name    = "penstock-log"
  id      = "log-1"
  address = "127.0.0.1"
  port    = 7000
  meta    = { version = "1" }
  checks = [
    { id = "ready-log-1", name = "ready", http = "http://127.0.0.1:7000/readyz", interval = "1s", timeout = "1s" }
  ]
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 21002
      # The default check runs every 10 seconds only; naming checks drops the alias to the service's own, so that is named too.
      checks = [
        { id = "mtls-log-1", name = "mTLS", tcp = "127.0.0.1:21002", interval = "1s", timeout = "1s" },
        { id = "alias-log-1", name = "the service itself", alias_service = "log-1" },
      ]
      # Unless told, the sidecar binds every address the machine has.
      proxy { config { bind_address = "127.0.0.1" } }
    }
  }
}
