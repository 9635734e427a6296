import Events
import Views

struct EventsQuery: Sendable {
  static let parameterNames = ["source", "type", "from", "to", "limit", "cursor", "follow", "timeout", "format"]
  static let limitDefault = 100
  /// Raw events are larger than rows, and each is written alone.
  static let limitMax = 10_000

  var source: String?
  var type: String?
  /// Nanoseconds of event time; inclusive.
  var from: Int64?
  /// The first offset of each partition, instead of a time. Partitions that are not named begin at the log's present end.
  var fromOffsets: OffsetVector?
  /// Exclusive.
  var to: Int64?
  var limit: Int
  /// There is always a next page, with later events.
  var isFollowing: Bool
  /// How long to wait for the first event; only for queries that follow.
  var timeout: Duration
  var place: EventsPlace?

  init(_ parameters: QueryParameters, partitionCount: Int, rowsMax: Int) throws(QueryFailure) {
    source = parameters["source"]
    type = parameters["type"]
    if parameters["from"]?.hasPrefix("{") == true {
      fromOffsets = try parameters.offsets("from", partitionCount: partitionCount)
      to = try parameters.time("to")
    } else {
      (from, to) = try parameters.timeRange()
    }
    let limitMax = min(EventsQuery.limitMax, rowsMax)
    limit = try parameters.integer("limit", default: min(EventsQuery.limitDefault, limitMax), in: 1...limitMax)
    isFollowing = try parameters.boolean("follow")
    timeout = try parameters.timeout(default: .zero)
    guard isFollowing || timeout == .zero else { throw .parameter("timeout", "there is nothing to wait for without follow=true") }
    if let text = parameters["cursor"] {
      place = try EventsPlace(text, fingerprint: fingerprint, partitionCount: partitionCount, isFollowing: isFollowing)
    }
  }

  /// Differs for queries whose pages do not belong together.
  var fingerprint: String {
    func part(_ text: String?) -> String { text.map { "\($0.utf8.count):\($0)" } ?? "-" }
    var text = "\(part(source)) \(part(type)) \(from.map(String.init) ?? "-") \(to.map(String.init) ?? "-") \(isFollowing)"
    if let fromOffsets { text += " \(fromOffsets)" }
    return String(text.withUTF8 { stableHash(UnsafeRawBufferPointer($0)) }, radix: 16)
  }
}

/// The end of a page of raw events.
struct EventsPlace: Sendable, Hashable {
  /// The first offset of each partition that was not read yet.
  var next: OffsetVector
  /// Each partition's end when the first page was asked for, at which the pages end; nil for queries that follow.
  var ends: OffsetVector?
  /// For queries that follow, the partition to go on with, so that a busy one does not keep the others out.
  var partition: PartitionID

  init(next: OffsetVector, ends: OffsetVector?, partition: PartitionID) {
    self.next = next
    self.ends = ends
    self.partition = partition
  }

  /// `cursor=`: base64url of `{"v":1,"q":"<fingerprint>","n":{…},"e":{…},"p":0}`.
  func text(fingerprint: String) -> String {
    var members = JSONObject()
    members["v"] = .int(1)
    members["q"] = .string(fingerprint)
    members["n"] = next.json
    members["e"] = ends?.json
    members["p"] = .int(Int64(partition.rawValue))
    var bytes: [UInt8] = []
    JSONValue.object(members).write(to: &bytes)
    return Base64URL.encode(bytes)
  }

  init(_ text: String, fingerprint: String, partitionCount: Int, isFollowing: Bool) throws(QueryFailure) {
    let json = try CursorText.decode(text)
    guard json["v"] == .int(1), case .string(let itsOwn)? = json["q"], case .int(let partition)? = json["p"],
      case .object? = json["n"]
    else { throw CursorText.invalid }
    guard itsOwn == fingerprint else { throw CursorText.foreign("source, type, from, to and follow") }
    func vector(_ name: String) throws(QueryFailure) -> OffsetVector? {
      guard let value = json[name] else { return nil }
      guard let vector = try? OffsetVector(parsing: value.text),
        vector.offsets.keys.allSatisfy({ $0.index < partitionCount })
      else { throw CursorText.invalid }
      return vector
    }
    guard (0..<Int64(partitionCount)).contains(partition), let next = try vector("n") else { throw CursorText.invalid }
    self.next = next
    self.partition = PartitionID(Int(partition))
    ends = try vector("e")
    guard (ends == nil) == isFollowing else { throw CursorText.invalid }
  }
}
