import Events
import Views

extension RemoteViewStore: LateEventStore {
  public nonisolated(nonsending) func late(_ request: LateReadRequest) async throws(ViewStoreError) -> LateReadResult {
    var request = request
    var results = try await lateResults(request)
    // As with rows: the older generation is everyone's while a new one is taken over.
    if let oldest = results.map(\.generation).min(), results.contains(where: { $0.generation != oldest }) {
      request.generation = oldest
      results = try await lateResults(request)
    }
    let owner = ComputePeers.owners(results.map(\.asOf))
    let missing = peers.missing(owner.keys)
    guard missing.isEmpty, var merged = results.first else { throw .missingPartitions(missing) }
    merged.asOf = OffsetVector()
    merged.events = []
    merged.counts = [:]
    for (index, result) in results.enumerated() {
      for (partition, offset) in result.asOf.offsets where owner[partition] == index {
        merged.asOf[partition] = offset
        merged.counts[partition] = result.counts[partition]
      }
      merged.events += result.events.filter { owner[$0.partition] == index }
    }
    // Each answer has at most the wanted number, its own first ones: so the first of all are among them.
    merged.events.sort { ($0.partition, $0.offset) < ($1.partition, $1.offset) }
    if merged.events.count > request.limit { merged.events.removeSubrange(request.limit...) }
    return merged
  }

  private nonisolated(nonsending) func lateResults(_ request: LateReadRequest) async throws(ViewStoreError) -> [LateReadResult] {
    try await peers.collect(
      WireRequest(posting: request.json, to: "/v1/compute/late", answerBytesMax: 16 << 20), within: RemoteViewStore.slack
    ) { LateReadResult(json: $1.json) }
  }
}

extension LateReadRequest {
  /// The most events of one answer.
  static let limitMax = 100_000

  var json: JSONValue {
    var members = JSONObject()
    members["view"] = .string(view)
    if let generation { members["generation"] = .int(Int64(generation)) }
    if let from { members["from"] = .int(from.nanoseconds) }
    if let to { members["to"] = .int(to.nanoseconds) }
    members["partition"] = .int(Int64(partition.index))
    members["offset"] = .int(offset.rawValue)
    members["limit"] = .int(Int64(limit))
    return .object(members)
  }

  init?(json: JSONValue) {
    func number(_ name: String) -> Int64? { if case .int(let value)? = json[name] { value } else { nil } }
    guard case .string(let view)? = json["view"], let partition = number("partition"),
      (0..<Int64(PartitionID.countMax)).contains(partition), let offset = number("offset"), let limit = number("limit"),
      (0...Int64(LateReadRequest.limitMax)).contains(limit)
    else { return nil }
    self.init(
      view: view, generation: number("generation").flatMap { Int(exactly: $0) },
      from: number("from").map { Timestamp(nanoseconds: $0) }, to: number("to").map { Timestamp(nanoseconds: $0) },
      partition: PartitionID(Int(partition)), offset: Offset(offset), limit: Int(limit))
  }
}

extension LateReadResult {
  /// `{"generation":1,"as_of":"{\"0\":118}","counts":[[partition,counted,listed]],"events":[[partition,offset,time,window
  /// start,reason]]}`, times in nanoseconds.
  var json: JSONValue {
    [
      "generation": .int(Int64(generation)), "as_of": .string(asOf.description),
      "counts": .array(
        counts.sorted { $0.key < $1.key }.map {
          .array([.int(Int64($0.key.index)), .int(Int64($0.value.counted)), .int(Int64($0.value.listed))])
        }),
      "events": .array(
        events.map {
          .array([
            .int(Int64($0.partition.index)), .int($0.offset.rawValue), .int($0.time.nanoseconds),
            .int($0.windowStart.nanoseconds), .string($0.reason.rawValue),
          ])
        }),
    ]
  }

  init?(json: JSONValue?) {
    guard let json, case .int(let generation)? = json["generation"], case .string(let text)? = json["as_of"],
      let asOf = try? OffsetVector(parsing: text), case .array(let elements)? = json["events"],
      case .array(let counted)? = json["counts"]
    else { return nil }
    var counts: [PartitionID: LateCounts] = [:]
    for element in counted {
      guard case .array(let numbers) = element, numbers.count == 3, case .int(let partition) = numbers[0],
        (0..<Int64(PartitionID.countMax)).contains(partition), case .int(let counted) = numbers[1],
        case .int(let listed) = numbers[2]
      else { return nil }
      counts[PartitionID(Int(partition))] = LateCounts(counted: Int(counted), listed: Int(listed))
    }
    var events: [LateEvent] = []
    for element in elements {
      guard case .array(let numbers) = element, numbers.count == 5, case .int(let partition) = numbers[0],
        (0..<Int64(PartitionID.countMax)).contains(partition), case .int(let offset) = numbers[1],
        case .int(let time) = numbers[2], case .int(let windowStart) = numbers[3],
        case .string(let text) = numbers[4], let reason = LateReason(rawValue: text)
      else { return nil }
      events.append(
        LateEvent(
          partition: PartitionID(Int(partition)), offset: Offset(offset), time: Timestamp(nanoseconds: time),
          windowStart: Timestamp(nanoseconds: windowStart), reason: reason))
    }
    self.init(generation: Int(clamping: generation), asOf: asOf, events: events, counts: counts)
  }
}
