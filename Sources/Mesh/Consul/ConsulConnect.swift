/// A service's certificate, as the agent signs and renews it. `GET /v1/agent/connect/ca/leaf/<service>`
struct ConnectLeaf: Sendable, Hashable, Decodable {
  /// The certificate, and after a root's rotation the cross-signed intermediate one too: both are shown to peers.
  var CertPEM: String
  var PrivateKeyPEM: String
  /// `spiffe://<trust domain>/ns/default/dc/<datacenter>/svc/<service>`
  var ServiceURI: String
  var SerialNumber: String
}

/// The authorities trusted now: during a rotation the old one and the new. `GET /v1/agent/connect/ca/roots`
struct ConnectRoots: Sendable, Hashable, Decodable {
  struct Root: Sendable, Hashable, Decodable {
    var ID: String
    var RootCert: String
    var IntermediateCerts: [String]?
  }
  var ActiveRootID: String
  var TrustDomain: String
  var Roots: [Root]
}

/// One entry of `GET /v1/health/connect/<service>`.
struct ConnectHealthEntry: Sendable, Hashable, Decodable {
  struct Node: Sendable, Hashable, Decodable {
    var Address: String
    var Datacenter: String
  }
  struct Service: Sendable, Hashable, Decodable {
    struct Proxy: Sendable, Hashable, Decodable { var DestinationServiceID: String? }
    var ID: String
    var Address: String
    var Port: Int
    var Meta: [String: String]?
    var Proxy: Proxy?
  }
  struct Check: Sendable, Hashable, Decodable { var Status: String }
  var Node: Node
  var Service: Service
  var Checks: [Check]?

  var isPassing: Bool { (Checks ?? []).allSatisfy { $0.Status == "passing" } }
}

/// The servers' answer to `GET /v1/connect/intentions/check`.
private struct IntentionAnswer: Decodable { var Allowed: Bool }

extension ConsulClient {
  /// Whether callers find the instance: the servers list it, and all checks of it and of its sidecar pass.
  public func isListed(_ id: String, of service: MeshService) async throws(ConsulError) -> Bool {
    let request = ConsulRequest(path: "/v1/health/connect/\(service.rawValue)", query: "passing")
    return try decode([ConnectHealthEntry].self, try await send(request), of: request).contains { MeshInstance($0).id == id }
  }

  /// Whether `source` may connect to `destination` now.
  /// - Throws: `.forbidden` without `intentions:read` on the destination, which `service:read` includes.
  func isAllowed(from source: String, to destination: String) async throws(ConsulError) -> Bool {
    let request = ConsulRequest(
      path: "/v1/connect/intentions/check", query: "source=\(source)&destination=\(destination)")
    return try decode(IntentionAnswer.self, try await send(request), of: request).Allowed
  }
}
