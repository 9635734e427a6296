#if Secure
  import Compute
  import Mesh
  import Views

  /// The table of generations that compute instances share, as a key in Consul.
  struct ConsulGenerations: SharedGenerations {
    static let key = "penstock/views/generations"

    let key: ConsulKey

    init(_ client: ConsulClient) { key = ConsulKey(ConsulGenerations.key, client: client) }

    nonisolated(nonsending) func load() async throws(ViewStoreError) -> SharedText? {
      do throws(ConsulError) {
        return try await key.load().map { SharedText(text: $0.text, version: $0.index) }
      } catch {
        throw ConsulGenerations.error(error)
      }
    }

    nonisolated(nonsending) func replace(_ text: String, version: UInt64) async throws(ViewStoreError) -> UInt64? {
      do throws(ConsulError) { return try await key.replace(text, index: version) } catch { throw ConsulGenerations.error(error) }
    }

    nonisolated(nonsending) func watch(_ changed: @Sendable () async -> Void) async { await key.watch(changed) }

    private static func error(_ error: ConsulError) -> ViewStoreError {
      switch error.code {
      // The agent is away, or the servers have no leader just now.
      case .unreachable, .timeout, .failed, .missing, .cancelled: .unavailable(error.description)
      case .forbidden, .malformed: .failed(error.description)
      }
    }
  }
#endif
