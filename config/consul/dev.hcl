# The agent that ops/mesh starts, in development mode: everything in memory, loopback only. Production: docs/mesh.md.
ports {
  # Not used here, and best not open. Envoy needs grpc; the built-in proxy does not.
  grpc     = -1
  dns      = -1
  https    = -1
  serf_wan = -1
}
limits {
  # All services, sidecars and watches of this machine count as one client.
  http_max_conns_per_client = 2000
}
