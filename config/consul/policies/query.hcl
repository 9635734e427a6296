# The least that penstock-query needs: `consul acl policy create -name penstock-query -rules @config/consul/policies/query.hcl`
service "penstock-query"               { policy = "write" }
service "penstock-query-sidecar-proxy" { policy = "write" }
# Whom it calls, and all rules about the mesh's services: a rule that comes and goes unseen would end its connections to be safe.
service_prefix "penstock-" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
# Who owns which partitions, to show it.
key_prefix "penstock/compute/" { policy = "read" }
