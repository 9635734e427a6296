import Foundation
import NIOCore
import NIOHTTP1

/// A key of Consul's store.
struct KVEntry: Sendable, Hashable, Decodable {
  var Key: String
  /// The value in base64; null where it is empty.
  var Value: String?
  /// The session that holds the key's lock.
  var Session: String?
  /// A number that clients may set.
  var Flags: UInt64?
  /// Rises with each change of any key: the fencing token.
  var ModifyIndex: UInt64

  var text: String { Value.flatMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) } ?? "" }
}

/// One operation of a transaction; a transaction has at most 64.
struct KVOperation: Sendable, Hashable, Encodable {
  enum Verb: String, Sendable, Encodable {
    case lock
    case delete
    case checkSession = "check-session"
    /// Sets the value if the key's ModifyIndex is `index`; with 0, if there is no such key.
    case compareAndSet = "cas"
  }
  var verb: Verb
  var key: String
  var value: String?
  var session: String?
  var index: UInt64?
  var flags: UInt64?

  private enum Outer: String, CodingKey { case KV }
  private enum Inner: String, CodingKey { case Verb, Key, Value, Session, Index, Flags }

  func encode(to encoder: any Encoder) throws {
    var outer = encoder.container(keyedBy: Outer.self)
    var inner = outer.nestedContainer(keyedBy: Inner.self, forKey: .KV)
    try inner.encode(verb, forKey: .Verb)
    try inner.encode(key, forKey: .Key)
    if let value { try inner.encode(Data(value.utf8).base64EncodedString(), forKey: .Value) }
    try inner.encodeIfPresent(session, forKey: .Session)
    try inner.encodeIfPresent(index, forKey: .Index)
    try inner.encodeIfPresent(flags, forKey: .Flags)
  }
}

private struct TransactionAnswer: Decodable {
  struct Result: Decodable { var KV: KVEntry? }
  var Results: [Result]?
}

private struct SessionRequest: Encodable {
  struct ServiceCheck: Encodable { var ID: String }
  var Name: String
  var Behavior: String
  var LockDelay: String
  var NodeChecks: [String]
  var ServiceChecks: [ServiceCheck]
}

private struct SessionAnswer: Decodable { var ID: String }

extension ConsulClient {
  /// Creates a session that lives as long as the node and the named check. Its end deletes the keys that it holds.
  /// - Returns: The session's id.
  func createSession(name: String, check: String, lockDelay: Duration) async throws(ConsulError) -> String {
    var request = ConsulRequest(method: .PUT, path: "/v1/session/create")
    request.body = try encode(
      SessionRequest(
        Name: name, Behavior: "delete", LockDelay: lockDelay.consulText, NodeChecks: ["serfHealth"],
        ServiceChecks: [.init(ID: check)]), for: request.place)
    return try decode(SessionAnswer.self, try await send(request), of: request).ID
  }

  func destroySession(_ id: String) async throws(ConsulError) {
    _ = try await send(ConsulRequest(method: .PUT, path: "/v1/session/destroy/\(id)"))
  }

  /// Does all operations or none.
  /// - Parameter operations: 1...64
  /// - Returns: The keys as they are now; nil if the transaction was refused (409): a lock held by another or delayed, a session
  ///   ended.
  func transact(_ operations: [KVOperation], timeout: Duration? = nil) async throws(ConsulError) -> [KVEntry]? {
    precondition((1...64).contains(operations.count), "a transaction holds 1 to 64 operations")
    // A transaction with reads alone could be answered by a deposed server that does not know it yet.
    var request = ConsulRequest(method: .PUT, path: "/v1/txn", query: "consistent", timeout: timeout)
    request.body = try encode(operations, for: request.place)
    let response: ConsulResponse
    do throws(ConsulError) {
      response = try await send(request)
    } catch {
      guard error.code == .failed, error.detail.hasPrefix("409") else { throw error }
      return nil
    }
    return try decode(TransactionAnswer.self, response, of: request).Results?.compactMap(\.KV) ?? []
  }

  /// All keys below `prefix`, as they are now.
  func keys(below prefix: String) async throws(ConsulError) -> [KVEntry] {
    let request = ConsulRequest(path: "/v1/kv/\(prefix)", query: "recurse")
    let response = try await send(request, mayMiss: true)
    return response.status == 404 ? [] : try decode([KVEntry].self, response, of: request)
  }

  /// Calls `changed` with all keys below `prefix` whenever one changes, until the task is cancelled. The index says how new the
  /// keys are: every change with a ModifyIndex up to it is in them.
  func watchKeys(below prefix: String, _ changed: ([KVEntry], UInt64) async -> Void) async {
    await watch("/v1/kv/\(prefix)", query: "recurse", mayMiss: true) { response, request throws(ConsulError) in
      let entries = response.status == 404 ? [] : try self.decode([KVEntry].self, response, of: request)
      await changed(entries, response.index ?? 0)
    }
  }
}
