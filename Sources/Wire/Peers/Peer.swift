/// One running instance of a service, as its callers know it.
public struct Peer: Sendable, Hashable, CustomStringConvertible {
  /// The instance's name; another instance at the same address has another id.
  public var id: String
  /// The host and port to dial, for messages: `127.0.0.1:21003`. With a sidecar, the sidecar's.
  public var address: String
  /// The metadata that the instance registers.
  public var metadata: [String: String]

  public init(id: String, address: String, metadata: [String: String] = [:]) {
    self.id = id
    self.address = address
    self.metadata = metadata
  }

  public var description: String { "\(id) at \(address)" }
}

/// The instances of a service at one time.
public struct PeerList: Sendable, Hashable {
  /// Differs for different lists, and has no other meaning.
  public var version: UInt64
  /// The instances that may be asked, in the order of their ids. At most `peersMax`.
  public var peers: [Peer]

  /// A dialler that knows more instances leaves the rest out.
  public static let peersMax = 1024

  public init(version: UInt64, peers: [Peer]) {
    precondition(peers.count <= PeerList.peersMax, "a list of peers is bounded")
    self.version = version
    self.peers = peers.sorted { $0.id < $1.id }
  }
}
