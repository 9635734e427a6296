/// The owner that a certificate of the mesh names: `spiffe://<trust domain>/ns/default/dc/<datacenter>/svc/<service>`.
struct SpiffeID: Sendable, Hashable, CustomStringConvertible {
  var trustDomain: String
  var datacenter: String
  var service: String

  var description: String { "spiffe://\(trustDomain)/ns/default/dc/\(datacenter)/svc/\(service)" }

  /// Whether `uri` is this identity. Consul writes the trust domain in lower case, and the host of a URI has no case.
  func matches(_ uri: String) -> Bool {
    let parts = uri.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0] == "spiffe:", parts[1].isEmpty else { return false }
    return parts[2].lowercased() == trustDomain.lowercased() && parts[3] == "ns/default/dc/\(datacenter)/svc/\(service)"
  }
}
