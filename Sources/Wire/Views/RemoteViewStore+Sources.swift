import Events
import Views

extension RemoteViewStore: SourceStore {
  public nonisolated(nonsending) func sources(_ request: SourceReadRequest) async throws(ViewStoreError) -> SourceReadResult {
    let partitionCount = peers.partitionCount
    let results = try await peers.collect(
      WireRequest(posting: request.json, to: "/v1/compute/sources", answerBytesMax: SourceReadResult.bytesMax),
      within: RemoteViewStore.slack
    ) { SourceReadResult(json: $1.json, partitionCount: partitionCount) }
    // While a partition passes from an instance to another both may answer: the one further on counts.
    let owner = ComputePeers.owners(results.map(\.asOf))
    let missing = peers.missing(owner.keys)
    guard missing.isEmpty || request.allowsPartial else { throw .missingPartitions(missing) }
    let own = results.enumerated().map { index, result in
      SourceReadResult(
        asOf: OffsetVector(result.asOf.offsets.filter { owner[$0.key] == index }),
        sources: result.sources.filter { owner[$0.partition] == index }, next: result.next)
    }
    return SourceReadResult(merging: own, of: request)
  }
}

// The wire form: docs/wire.md.

extension SourceReadRequest {
  var json: JSONValue {
    var members = JSONObject()
    members["prefix"] = .string(prefix.string)
    if let source { members["source"] = .string(source.string) }
    if let lastAppendedBy { members["last_appended_by"] = .int(lastAppendedBy.nanoseconds) }
    members["ahead"] = .bool(isAheadOnly)
    members["order"] = .string((order.isDescending ? "-" : "") + order.column.rawValue)
    members["after"] = after?.json
    members["limit"] = .int(Int64(limit))
    return .object(members)
  }

  /// Nil when the value is no request. An instance answers for the partitions that it has.
  init?(json: JSONValue) {
    guard case .string(let prefix)? = json["prefix"], case .bool(let isAheadOnly)? = json["ahead"],
      case .string(let text)? = json["order"], case .int(let limit)? = json["limit"],
      (1...Int64(SourceReadRequest.limitMax)).contains(limit),
      let column = SourceOrder.Column(rawValue: String(text.hasPrefix("-") ? text.dropFirst() : text[...]))
    else { return nil }
    self.init(
      prefix: UTF8Text(prefix), isAheadOnly: isAheadOnly, order: SourceOrder(column, isDescending: text.hasPrefix("-")),
      limit: Int(limit), allowsPartial: true)
    if case .string(let source)? = json["source"] { self.source = UTF8Text(source) }
    if case .int(let time)? = json["last_appended_by"] { lastAppendedBy = Timestamp(nanoseconds: time) }
    guard let after = json["after"] else { return }
    guard let place = SourcePlace(json: after) else { return nil }
    self.after = place
  }
}

extension SourcePlace {
  /// `[value,source,partition]`
  var json: JSONValue { .array([.int(value), .string(source.string), .int(Int64(partition.index))]) }

  /// Nil when the value is no place.
  init?(json: JSONValue) {
    guard case .array(let parts) = json, parts.count == 3, case .int(let value) = parts[0], case .string(let source) = parts[1],
      let partition = PartitionID(json: parts[2])
    else { return nil }
    self.init(value: value, source: UTF8Text(source), partition: partition)
  }
}

extension SourceReadResult {
  /// Names have 4 MiB at most, or there is one; each byte of a name may take six as JSON.
  static let bytesMax = 32 << 20

  /// `{"as_of":"{\"0\":118}","sources":[[source,partition,epoch,sequence,largest event time,event time,last append time,events]],
  /// "next":[value,source,partition]}`: epoch and sequence as text or null, times in nanoseconds; `next` is null at the end.
  var json: JSONValue {
    [
      "as_of": .string(asOf.description), "sources": .array(sources.map(\.json)), "next": next?.json ?? .null,
    ]
  }

  /// Nil when the value is no result of a log with so many partitions.
  init?(json: JSONValue?, partitionCount: Int) {
    guard let json, case .string(let text)? = json["as_of"], let asOf = try? OffsetVector(parsing: text),
      asOf.offsets.keys.allSatisfy({ $0.index < partitionCount }), case .array(let elements)? = json["sources"],
      elements.count <= SourceReadRequest.limitMax, let next = json["next"]
    else { return nil }
    let sources = elements.compactMap { SourceStatus(json: $0) }
    guard sources.count == elements.count, sources.allSatisfy({ asOf[$0.partition] != nil }) else { return nil }
    self.init(asOf: asOf, sources: sources)
    guard next != .null else { return }
    guard let place = SourcePlace(json: next) else { return nil }
    self.next = place
  }
}

extension SourceStatus {
  var json: JSONValue {
    .array([
      .string(source.string), .int(Int64(partition.index)), last.map { .string(String($0.epoch)) } ?? .null,
      last.map { .string(String($0.sequence)) } ?? .null, .int(largestEventTime.nanoseconds), .int(eventTime.nanoseconds),
      .int(lastAppendTime.nanoseconds), .int(Int64(events)),
    ])
  }

  /// Nil when the value is none.
  init?(json: JSONValue) {
    guard case .array(let parts) = json, parts.count == 8, case .string(let source) = parts[0],
      let partition = PartitionID(json: parts[1]), case .int(let largest) = parts[4], case .int(let time) = parts[5],
      case .int(let appended) = parts[6], case .int(let events) = parts[7]
    else { return nil }
    var last: ProducerPosition?
    switch (parts[2], parts[3]) {
    case (.null, .null): break
    case (.string(let epoch), .string(let sequence)):
      guard let epoch = UInt64(epoch), let sequence = UInt64(sequence) else { return nil }
      last = ProducerPosition(epoch: epoch, sequence: sequence)
    default: return nil
    }
    self.init(
      source: UTF8Text(source), partition: partition, last: last, largestEventTime: Timestamp(nanoseconds: largest),
      eventTime: Timestamp(nanoseconds: time), lastAppendTime: Timestamp(nanoseconds: appended), events: Int(events))
  }
}

extension PartitionID {
  fileprivate init?(json: JSONValue) {
    guard case .int(let number) = json, (0..<Int64(PartitionID.countMax)).contains(number) else { return nil }
    self.init(Int(number))
  }
}
