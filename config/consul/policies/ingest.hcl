# The least that penstock-ingest needs: `consul acl policy create -name penstock-ingest -rules @config/consul/policies/ingest.hcl`
service "penstock-ingest"               { policy = "write" }
service "penstock-ingest-sidecar-proxy" { policy = "write" }
service "penstock-log"               { policy = "read" }
service "penstock-log-sidecar-proxy" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
