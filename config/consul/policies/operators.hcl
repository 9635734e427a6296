# The least that people's tools need to call query and ingest through the mesh:
# `consul acl policy create -name penstock-operators -rules @config/consul/policies/operators.hcl`
# A certificate of penstock-operators, and no instance of it behind it: nobody calls operators.
service "penstock-operators" { policy = "write" }
service "penstock-query"                { policy = "read" }
service "penstock-query-sidecar-proxy"  { policy = "read" }
service "penstock-ingest"               { policy = "read" }
service "penstock-ingest-sidecar-proxy" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
