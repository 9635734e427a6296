# The least that penstock-ingest needs: `consul acl policy create -name penstock-ingest -rules @config/consul/policies/ingest.hcl`
service "penstock-ingest"               { policy = "write" }
service "penstock-ingest-sidecar-proxy" { policy = "write" }
# Whom it calls, and all rules about the mesh's services: a rule that comes and goes unseen would end its connections to be safe.
service_prefix "penstock-" { policy = "read" }
# Without it lists of instances are empty, and no error says why.
node_prefix "" { policy = "read" }
