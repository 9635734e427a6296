# The least that penstock-compute needs: `consul acl policy create -name penstock-compute -rules @config/consul/policies/compute.hcl`
service "penstock-compute"               { policy = "write" }
service "penstock-compute-sidecar-proxy" { policy = "write" }
# Whom it calls, and all rules about the mesh's services: a rule that comes and goes unseen would end its connections to be safe.
service_prefix "penstock-" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
# Leases on partitions.
key_prefix "penstock/compute/" { policy = "write" }
session_prefix ""              { policy = "write" }
