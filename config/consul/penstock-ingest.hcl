# `penstock ingest` registers this by itself through the agent's API. Use this file if you prefer definitions in files:
# `consul services register config/consul/penstock-ingest.hcl`. Give each instance an id and ports of its own.
services {
  name    = "penstock-ingest"
  id      = "ingest-1"
  address = "127.0.0.1"
  port    = 4000
  meta    = { version = "1" }
  checks = [
    { id = "ready-ingest-1", name = "ready", http = "http://127.0.0.1:4000/readyz", interval = "1s", timeout = "1s" }
  ]
  connect {
    sidecar_service {
      address = "127.0.0.1"
      port    = 21001
      # The default check runs every 10 seconds only; naming checks drops the alias to the service's own, so that is named too.
      checks = [
        { id = "mtls-ingest-1", name = "mTLS", tcp = "127.0.0.1:21001", interval = "1s", timeout = "1s" },
        { id = "alias-ingest-1", name = "the service itself", alias_service = "ingest-1" },
      ]
      # Unless told, the sidecar binds every address the machine has.
      proxy { config { bind_address = "127.0.0.1" } }
    }
  }
}
