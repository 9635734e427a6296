/// A parsed answer of `GET /v1/overview`; docs/query.md has its shape.
struct OverviewSample: Sendable {
  /// A cumulative histogram's bucket; the last bound is infinite.
  struct Bucket: Hashable, Sendable {
    var bound: Double
    var count: Int
  }

  struct Partition: Hashable, Sendable {
    var number: Int
    var start: Int
    var highWatermark: Int
    /// The reason why the partition cannot be read; the offsets are 0 then.
    var problem: String?
  }

  struct View: Hashable, Sendable {
    var name: String
    var generation: Int
    var appended: Int
    var applied: Int
    /// The part of `applied` that changed windows which the largest event time of their partition had closed.
    var amended: Int
    var filtered: Int
    var late: Int
    var pending: Int
    /// Events that retention deleted before they were counted: the view lacks them for good.
    var gone: Int
    /// The next offset of each partition.
    var offsets: [Int: Int]

    var addsUp: Bool { appended == applied + filtered + late + pending }
    var counted: Int { applied + filtered + late }
  }

  struct Replay: Hashable, Sendable {
    var view: String
    var generation: Int
    var state: String
    var done: Int
    var total: Int
    var eventsPerSecond: Double?
    var secondsLeft: Double?
    var problem: String?
  }

  /// The time as the service spells it: RFC 3339.
  var time: String
  /// Whether the service knows of an ingest process; if not, ingest's counts read 0.
  var knowsIngest: Bool
  var received: Int
  var appended: Int
  var duplicates: Int
  var rejected: Int
  /// The part of the duplicates that are suspect: they may be new events.
  var suspects: Int
  /// The sources of suspects, the latest first; not all where there are many.
  var suspectSources: [String]
  /// Appended events that were ahead of the clock.
  var ahead: Int
  /// Their sources, the latest first; not all where there are many.
  var aheadSources: [String]
  var late: Int
  /// The part of the applied events, of all views, that changed windows which were closed for their partition.
  var amended: Int
  var connections: Int
  /// Counts by code, those above 0, the largest first.
  var rejects: [(code: String, count: Int)]
  var ack: [Bucket]
  var partitions: [Partition]
  var views: [View]
  var replays: [Replay]
  /// The answer as it came, for callers that want all of it.
  var json: RawJSON

  /// - Throws: `CommandFailure` where the answer is no overview.
  init(_ json: RawJSON) throws {
    guard let time = json["time"]?.string, let views = json["views"]?.array, let partitions = json["partitions"]?.array else {
      throw CommandFailure("the answer is no overview: is --url that of Penstock's query service?")
    }
    self.json = json
    self.time = time
    func count(_ value: RawJSON?, _ name: String) -> Int { value?[name]?.integer ?? 0 }
    knowsIngest = json["received"]?.integer != nil
    received = count(json, "received")
    appended = count(json, "appended")
    duplicates = count(json, "duplicates")
    rejected = count(json, "rejected")
    suspects = count(json, "suspect_duplicates")
    suspectSources = (json["suspect_sources"]?.array ?? []).compactMap { $0["source"]?.string }
    ahead = count(json, "events_ahead")
    aheadSources = (json["events_ahead_sources"]?.array ?? []).compactMap { $0["source"]?.string }
    late = count(json, "late")
    amended = count(json, "amended")
    connections = count(json, "connections")
    rejects = (json["rejects"]?.members ?? []).compactMap { member in
      member.value.integer.flatMap { $0 > 0 ? (member.name, $0) : nil }
    }.sorted { ($1.count, $0.code) < ($0.count, $1.code) }
    ack = (json["ack_seconds"]?["buckets"]?.array ?? []).compactMap { pair in
      guard let pair = pair.array, pair.count == 2, let count = pair[1].integer else { return nil }
      return Bucket(bound: pair[0].number ?? .infinity, count: count)
    }
    self.partitions = partitions.map {
      Partition(
        number: count($0, "partition"), start: count($0, "start"), highWatermark: count($0, "high_watermark"),
        problem: $0["problem"]?.string)
    }
    self.views = views.map { view in
      var offsets: [Int: Int] = [:]
      for member in view["offsets"]?.members ?? [] {
        if let partition = Int(member.name), let offset = member.value.integer { offsets[partition] = offset }
      }
      return View(
        name: view["name"]?.string ?? "?", generation: count(view, "generation"), appended: count(view, "appended"),
        applied: count(view, "applied"), amended: count(view, "amended"), filtered: count(view, "filtered"),
        late: count(view, "late"), pending: count(view, "pending"), gone: count(view, "gone"), offsets: offsets)
    }
    replays = (json["replays"]?.array ?? []).map {
      Replay(
        view: $0["view"]?.string ?? "?", generation: count($0, "generation"), state: $0["state"]?.string ?? "?",
        done: count($0, "events_done"), total: count($0, "events_total"), eventsPerSecond: $0["events_per_second"]?.number,
        secondsLeft: $0["seconds_left"]?.number, problem: $0["problem"]?.string)
    }
  }

  /// Events received, and not yet answered for. Below 0, devices were told of more than they sent.
  var inFlight: Int { received - appended - duplicates - rejected }

  /// Whether every event is accounted for: by ingest, and by each view.
  var addsUp: Bool { inFlight >= 0 && views.allSatisfy(\.addsUp) }

  /// The most events that a view is behind in a partition, and that view's name.
  func lag(of partition: Partition) -> (events: Int, view: String?) {
    views.reduce((0, nil)) { most, view in
      guard let offset = view.offsets[partition.number] else { return most }
      let behind = max(0, partition.highWatermark - offset)
      return behind > most.events ? (behind, view.name) : most
    }
  }
}

extension RawJSON {
  /// The members of an object; nil for anything else.
  fileprivate var members: [Member]? {
    guard case .object(let members) = self else { return nil }
    return members
  }
}
