/// One instance of a service with its sidecar, as the agent's API takes it.
///
/// The sidecar's default check runs every 10 seconds, so that a start looks like "no healthy instance" for as long: ours runs every
/// second. Naming checks of its own drops the default alias to the service's, so that is named too.
public struct ServiceDefinition: Sendable, Hashable, Encodable {
  /// Names the instance in all of the datacenter: letters, digits, `-`, `_` and `.`, at most 100.
  public var id: String
  public var service: MeshService
  /// Where the sidecar and the agent, both on the same machine, reach the service itself. Loopback, except for the edges: never a wildcard,
  /// which Consul refuses.
  public private(set) var address: String
  public var port: Int
  /// Where the sidecar listens, and on which address it is announced.
  public var sidecarAddress: String
  public var sidecarPort: Int
  /// Other instances read these: `version`.
  public var metadata: [String: String]
  /// A check that the service itself must pass this often, `live-<id>`; what sessions are bound to. Nil: none.
  public var lifeSignEvery: Duration?
  /// Whether the service itself takes TLS only. Its certificate names what clients call it, not loopback, so the agent does not check it.
  public var isTLS: Bool

  /// - Parameters:
  ///   - id: Must be valid.
  ///   - service: Whose instance it is.
  ///   - address: Where the service listens. Of a wildcard, which is every address, loopback is announced.
  ///   - port: Where the service listens.
  ///   - sidecarAddress: Where the sidecar listens.
  ///   - sidecarPort: Where the sidecar listens.
  ///   - metadata: For other instances to read.
  ///   - lifeSignEvery: How often the service passes a check of its own at least; nil: there is none.
  ///   - isTLS: Whether the service takes TLS only.
  public init(
    id: String, service: MeshService, address: String, port: Int, sidecarAddress: String = "127.0.0.1", sidecarPort: Int,
    metadata: [String: String] = [:], lifeSignEvery: Duration? = nil, isTLS: Bool = false
  ) {
    precondition(ServiceDefinition.isValid(id: id), "an instance's id is 1 to 100 of A-Z a-z 0-9 - _ .")
    self.id = id
    self.service = service
    self.address =
      switch address {
      case "0.0.0.0": "127.0.0.1"
      case "::": "::1"
      default: address
      }
    self.port = port
    self.sidecarAddress = sidecarAddress
    self.sidecarPort = sidecarPort
    self.metadata = metadata
    self.lifeSignEvery = lifeSignEvery
    self.isTLS = isTLS
  }

  public static func isValid(id: String) -> Bool {
    (1...100).contains(id.utf8.count)
      && id.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
      }
  }

  /// The id of the check that the service passes itself.
  public static func lifeSignCheck(of id: String) -> String { "live-\(id)" }

  public func encode(to encoder: any Encoder) throws {
    let host = address.contains(":") ? "[\(address)]" : address
    var checks = [
      Check(
        CheckID: "ready-\(id)", Name: "ready", HTTP: "\(isTLS ? "https" : "http")://\(host):\(port)/readyz",
        TLSSkipVerify: isTLS ? true : nil, Interval: "1s", Timeout: "1s", DeregisterCriticalServiceAfter: "10m")
    ]
    if let lifeSignEvery {
      checks.append(
        Check(CheckID: ServiceDefinition.lifeSignCheck(of: id), Name: "alive", TTL: lifeSignEvery.consulText, Status: "passing"))
    }
    let sidecarHost = sidecarAddress.contains(":") ? "[\(sidecarAddress)]" : sidecarAddress
    let sidecar = Sidecar(
      Address: sidecarAddress, Port: sidecarPort,
      Checks: [
        Check(
          CheckID: "mtls-\(id)", Name: "mTLS", TCP: "\(sidecarHost):\(sidecarPort)", Interval: "1s", Timeout: "1s"),
        Check(CheckID: "alias-\(id)", Name: "the service itself", AliasService: id),
      ],
      // Unless told, the sidecar binds every address the machine has.
      Proxy: Proxy(Config: ["bind_address": sidecarAddress]))
    try Body(
      ID: id, Name: service.rawValue, Address: address, Port: port, Meta: metadata, Checks: checks,
      Connect: Connect(SidecarService: sidecar)
    ).encode(to: encoder)
  }

  private struct Body: Encodable {
    var ID: String
    var Name: String
    var Address: String
    var Port: Int
    var Meta: [String: String]
    var Checks: [Check]
    var Connect: Connect
  }

  private struct Check: Encodable {
    var CheckID: String
    var Name: String
    var HTTP: String?
    var TLSSkipVerify: Bool?
    var TCP: String?
    var TTL: String?
    var AliasService: String?
    var Interval: String?
    var Timeout: String?
    var Status: String?
    var DeregisterCriticalServiceAfter: String?
  }

  private struct Connect: Encodable { var SidecarService: Sidecar }

  private struct Sidecar: Encodable {
    var Address: String
    var Port: Int
    var Checks: [Check]
    var Proxy: Proxy
  }

  private struct Proxy: Encodable { var Config: [String: String] }
}

extension Duration {
  /// As Consul reads durations: whole milliseconds.
  var consulText: String {
    let (seconds, attoseconds) = components
    return "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)ms"
  }
}
