/// One running instance of a service, as whoever dials knows it.
public struct Peer: Sendable, Hashable, CustomStringConvertible {
  /// Names the instance; another instance that takes the same place has another id.
  public var id: String
  /// Host and port that are dialled, for messages: `127.0.0.1:21003`. With a sidecar, the sidecar's.
  public var address: String
  /// What the instance says of itself when it registers.
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
  /// Another number for another list; says nothing else.
  public var version: UInt64
  /// Those that may be asked, in the order of their ids. At most `peersMax`.
  public var peers: [Peer]

  /// Whoever lists more than this leaves the rest out.
  public static let peersMax = 1024

  public init(version: UInt64, peers: [Peer]) {
    precondition(peers.count <= PeerList.peersMax, "a list of peers is bounded")
    self.version = version
    self.peers = peers.sorted { $0.id < $1.id }
  }
}
