/// A key of Consul's store that several processes change in turn: the value is replaced only while it is still the one that was
/// read.
public struct ConsulKey: Sendable {
  public let key: String
  private let client: ConsulClient

  /// - Parameters:
  ///   - key: A path whose characters need no escaping: `penstock/log`.
  ///   - client: A client whose token may write the key.
  public init(_ key: String, client: ConsulClient) {
    self.key = key
    self.client = client
  }

  /// The value and its ModifyIndex; nil when there is no such key. The leader answers, so the value is never an older one.
  public func load() async throws(ConsulError) -> (text: String, index: UInt64)? {
    let request = ConsulRequest(path: "/v1/kv/\(key)", query: "consistent")
    let response = try await client.send(request, mayMiss: true)
    guard response.status != 404, let entry = try client.decode([KVEntry].self, response, of: request).first else { return nil }
    return (entry.text, entry.ModifyIndex)
  }

  /// Replaces the value that has this ModifyIndex; 0 creates the key.
  /// - Returns: The new ModifyIndex; nil when the key has another value by now.
  public func replace(_ text: String, index: UInt64) async throws(ConsulError) -> UInt64? {
    let set = KVOperation(verb: .compareAndSet, key: key, value: text, index: index)
    return try await client.transact([set])?.first?.ModifyIndex
  }
}
