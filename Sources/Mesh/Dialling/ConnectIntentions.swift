import Logging
import Synchronization

/// The targets that the mesh lets a service of ours dial now.
///
/// A sidecar checks intentions only when a connection begins, so open connections would outlive a withdrawal. Callers therefore
/// watch the intentions and close their own. Callees end those of a caller that does not: `CallerIntentions`.
final class ConnectIntentions: Sendable {
  private let client: ConsulClient
  private let source: MeshService
  private let logger: Logger

  init(from source: MeshService, client: ConsulClient, logger: Logger) {
    self.source = source
    self.client = client
    self.logger = logger
  }

  /// Calls `decided` with each target and whether it may be dialled: at the start and whenever any intention changes, until the
  /// task is cancelled. While the servers can't be asked, it is not called, and the last decision stands.
  func run(_ targets: [MeshService], _ decided: (MeshService, Bool) -> Void) async {
    // The endpoint for one source alone does not block over HTTP (1.8); the list of all does, and changes seldom.
    await client.watch("/v1/connect/intentions", mayMiss: true) { _, _ throws(ConsulError) in
      for target in targets {
        do throws(ConsulError) {
          decided(target, try await self.client.isAllowed(from: self.source.rawValue, to: target.rawValue))
        } catch {
          // Without the right to ask, only the sidecar decides.
          guard error.code == .forbidden else { throw error }
          self.logger.warning("\(error): open connections to \(target.rawValue) will outlive a withdrawn intention")
        }
      }
    }
  }
}
