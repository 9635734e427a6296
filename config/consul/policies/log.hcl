# The least that penstock-log needs: `consul acl policy create -name penstock-log -rules @config/consul/policies/log.hcl`
service "penstock-log"               { policy = "write" }
service "penstock-log-sidecar-proxy" { policy = "write" }
# Whom it calls, and all rules about the mesh's services: a rule that comes and goes unseen would end its connections to be safe.
service_prefix "penstock-" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
# Which log the mesh has: a second one under the same name is refused.
key "penstock/log" { policy = "write" }
