#if Secure
  import Mesh
  import NIOCore
  import Wire

  /// Dials peers for module Wire over the mesh.
  struct MeshPeerDialler: PeerDialler {
    let dialler: ConnectDialler

    var service: String { dialler.target.rawValue }

    func peers() -> PeerList {
      let list = dialler.instances
      return PeerList(
        version: list.version,
        peers: list.instances.map { Peer(id: $0.id, address: $0.address, metadata: $0.metadata) })
    }

    nonisolated(nonsending) func waitForChange(from version: UInt64) async { await dialler.waitForChange(from: version) }

    func connect(
      to peer: Peer, on eventLoop: any EventLoop, initialise: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) -> EventLoopFuture<any Channel> {
      let service = service
      guard let instance = dialler.instances.instances.first(where: { $0.id == peer.id && $0.address == peer.address }) else {
        return eventLoop.makeFailedFuture(PeerError(.unreachable, service: service, peer: peer, "the instance is gone"))
      }
      return dialler.connect(to: instance, on: eventLoop, initialise: initialise).flatMapErrorThrowing { error in
        guard let error = error as? MeshError else { throw PeerError(.unreachable, service: service, peer: peer, "\(error)") }
        let code: PeerError.Code =
          switch error.code {
          case .notReady, .unreachable, .timeout: .unreachable
          case .refused: .refused
          case .closed: .closed
          }
        throw PeerError(code, service: service, peer: peer, error.detail)
      }
    }
  }
#endif
