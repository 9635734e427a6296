# The least that penstock-query needs: `consul acl policy create -name penstock-query -rules @config/consul/policies/query.hcl`
service "penstock-query"               { policy = "write" }
service "penstock-query-sidecar-proxy" { policy = "write" }
service "penstock-log"               { policy = "read" }
service "penstock-log-sidecar-proxy" { policy = "read" }
service "penstock-compute"               { policy = "read" }
service "penstock-compute-sidecar-proxy" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
