import Events
import Views

/// The rows that a stream has sent of a view, as far as is needed to tell which rows are new to its reader.
struct LiveRows: Sendable {
  struct Key: Hashable, Sendable {
    var windowStart: Int64
    /// The key in `KeyCodec`'s form.
    var bytes: [UInt8]
  }

  struct Sent: Sendable {
    /// The hash of the row as it was written.
    var hash: UInt64
    var windowEnd: Int64
  }

  /// The change from one moment to a later one.
  struct Change: Sendable {
    /// JSON objects, as in a query's answer, in the order of window start and key.
    var rows: [[UInt8]] = []
    /// Rows that no longer exist, such as sessions that were joined; their window and keys.
    var gone: [[UInt8]] = []
    var isEmpty: Bool { rows.isEmpty && gone.isEmpty }
  }

  /// The approximate bytes of an entry besides its key's, in the dictionary and the key's array.
  private static let entryBytes = 128

  private(set) var sent: [Key: Sent] = [:]
  /// The approximate bytes of memory.
  private(set) var bytes = 0

  var count: Int { sent.count }

  /// Takes a newer result in.
  /// - Returns: The difference from the sent rows.
  mutating func advance(to result: ViewResult) -> Change {
    var change = Change()
    var now: [Key: Sent] = [:]
    bytes = 0
    now.reserveCapacity(result.rows.count)
    var text = RowText(result.query, result.finality, .json)
    for row in 0..<result.rows.count {
      let key = Key(windowStart: result.rows.windowStarts[row], bytes: result.rows.withKey(row) { Array($0) })
      var json: [UInt8] = []
      text.append(row, of: result.rows, to: &json)
      let hash = json.withUnsafeBytes { stableHash($0) }
      if sent[key]?.hash != hash { change.rows.append(json) }
      bytes += LiveRows.entryBytes + key.bytes.count
      now[key] = Sent(hash: hash, windowEnd: result.rows.windowEnds[row])
    }
    if now.count < sent.count + change.rows.count {
      let names = result.query.columns.filter { $0.role == .key }.map(\.name)
      for (key, value) in sent where now[key] == nil { change.gone.append(LiveRows.gone(key, value, names)) }
    }
    sent = now
    return change
  }

  private static func gone(_ key: Key, _ sent: Sent, _ names: [String]) -> [UInt8] {
    var members = JSONObject()
    members["window_start"] = .string(Timestamp(nanoseconds: key.windowStart).description)
    members["window_end"] = .string(Timestamp(nanoseconds: sent.windowEnd).description)
    var bytes: [UInt8] = []
    JSONValue.object(members).write(to: &bytes)
    bytes.removeLast()
    for (name, value) in zip(names, key.bytes.withUnsafeBytes { KeyCodec.decode($0) } ?? []) {
      bytes.append(0x2C)
      JSONValue.writeString(name, to: &bytes)
      bytes.append(0x3A)
      value.writeJSON(to: &bytes)
    }
    bytes.append(0x7D)
    return bytes
  }
}
