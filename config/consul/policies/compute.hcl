# The least that penstock-compute needs: `consul acl policy create -name penstock-compute -rules @config/consul/policies/compute.hcl`
service "penstock-compute"               { policy = "write" }
service "penstock-compute-sidecar-proxy" { policy = "write" }
service "penstock-log"               { policy = "read" }
service "penstock-log-sidecar-proxy" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
# Leases on partitions.
key_prefix "penstock/compute/" { policy = "write" }
session_prefix ""              { policy = "write" }
