import HTTPClient

/// One instance of a service with its sidecar, as the agent's API takes it.
///
/// The sidecar's default check runs every 10 seconds, so a start looks like "no healthy instance" for as long: ours runs every
/// second. A definition with checks of its own loses the default alias to the service's checks, so that is named too.
public struct ServiceDefinition: Sendable, Hashable, Encodable {
  /// The instance's name in the whole datacenter: letters, digits, `-`, `_` and `.`, at most 100.
  public var id: String
  public var service: MeshService
  /// The address where the sidecar and the agent, both on the same machine, reach the service itself. Loopback, except for the
  /// edges: never a wildcard, which Consul refuses.
  public private(set) var address: String
  public var port: Int
  /// Where the sidecar listens, and on which address it is announced.
  public var sidecarAddress: String
  public var sidecarPort: Int
  /// Other instances read these: `version`.
  public var metadata: [String: String]
  /// The service itself must pass the check `live-<id>` this often; sessions are bound to it. Nil: there is no such check.
  public var lifeSignEvery: Duration?
  /// Whether the service itself takes TLS only. Its certificate is for the name that clients call, not for loopback, so the agent
  /// does not check it.
  public var isTLS: Bool

  /// - Parameters:
  ///   - id: A valid id.
  ///   - service: The service of this instance.
  ///   - address: The address where the service listens. For a wildcard, which is every address, loopback is announced.
  ///   - port: The port where the service listens.
  ///   - sidecarAddress: The address where the sidecar listens.
  ///   - sidecarPort: The port where the sidecar listens.
  ///   - metadata: Facts for other instances to read.
  ///   - lifeSignEvery: The longest time between two signs of life of the service; nil for no such check.
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

  /// The id of the check for signs of life.
  public static func lifeSignCheck(of id: String) -> String { "live-\(id)" }

  public func encode(to encoder: any Encoder) throws {
    let authority = ServiceURL.authority(of: address, port)
    var checks = [
      Check(
        CheckID: "ready-\(id)", Name: "ready", HTTP: "\(isTLS ? "https" : "http")://\(authority)/readyz",
        TLSSkipVerify: isTLS ? true : nil, Interval: "1s", Timeout: "1s", DeregisterCriticalServiceAfter: "10m")
    ]
    if let lifeSignEvery {
      checks.append(
        Check(CheckID: ServiceDefinition.lifeSignCheck(of: id), Name: "alive", TTL: lifeSignEvery.consulText, Status: "passing"))
    }
    let sidecar = Sidecar(
      Address: sidecarAddress, Port: sidecarPort,
      Checks: [
        Check(
          CheckID: "mtls-\(id)", Name: "mTLS", TCP: ServiceURL.authority(of: sidecarAddress, sidecarPort), Interval: "1s",
          Timeout: "1s"),
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
  /// The duration as Consul reads it: whole milliseconds.
  var consulText: String {
    let (seconds, attoseconds) = components
    return "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)ms"
  }
}
