import Events
import Serving
import Views

/// Answers `GET /v1/overview` and `/v1/overview/live`: the counts of received and counted events, and each view's lag.
struct OverviewAnswers: Sendable {
  let store: any ViewStore
  /// Nil where this service changes no views: then the answer has no replays.
  let admin: (any ViewAdmin)?
  let log: any EventLog
  let probe: ServiceProbe
  /// Nil where no ingest is known.
  let reports: (any IngestReports)?
  /// Nil where no one knows sources.
  let ahead: AheadSources?
  let now: @Sendable () -> Timestamp

  /// ```
  /// {"time":…,"received":…,"appended":…,"duplicates":…,"suspect_duplicates":…,"suspect_sources":[{"source":…,"count":…,…}],
  ///  "events_ahead":…,"events_ahead_sources":[{"source":…,"count":…,"event_time":…,"time":…}],"rejected":…,"in_flight":…,
  ///  "applied":…,"amended":…,"filtered":…,"late":…,"connections":…,"rejects":{CODE:…},
  ///  "ack_seconds":{"buckets":[[0.001,12],…]},"partitions":[{"partition":0,"start":0,"high_watermark":118}],
  ///  "views":[{"name":…,"generation":1,"appended":…,"applied":…,"amended":…,"filtered":…,"late":…,"pending":…,
  ///   "gone":…,"offsets":{…},…}],
  ///  "replays":[{"view":…,"generation":2,"state":"building","events_done":…,"events_total":…,"events_per_second":…,"seconds_left":…,"problem":null}],
  ///  "sources_ahead":[{"source":…,"partition":3,"largest_event_time":…,"last_append_time":…}]}
  /// ```
  /// Counts of devices' events are since ingest started, of all its processes together, null where none is known; views' counts
  /// are durable.
  func json() async throws(QueryFailure) -> JSONValue {
    // This comes first, as in the ledger.
    let partitions = await partitions()
    let views: [ViewStatus]
    do throws(ViewStoreError) { views = try await store.views() } catch { throw QueryFailure(error) }
    var members = JSONObject()
    members["time"] = .string(now().description)
    // Where compute is another process, only the views' own counts are known.
    func count(_ name: String, _ count: KeyPath<PartitionProgress, Int>) -> JSONValue {
      .int(probe.total(name).map { Int64($0) } ?? Int64(views.reduce(0) { $0 + OverviewAnswers.total(count, of: $1) }))
    }
    let counted = await reports?.ingest()
    members["in_flight"] = (counted?.events.inFlight).map { .int(Int64($0)) } ?? .null
    let told = counted?.json
    for name in [
      "received", "appended", "duplicates", "suspect_duplicates", "events_ahead", "rejected", "connections", "rejects", "ack_seconds",
    ] {
      members[name] = told?[name] ?? .null
    }
    members["suspect_sources"] = counted.map { .array($0.suspectSources.map(\.shown)) } ?? .null
    members["events_ahead_sources"] = counted.map { .array($0.aheadSources.map(OverviewAnswers.json)) } ?? .null
    members["applied"] = count("penstock_compute_events_applied_total", \.applied)
    members["amended"] = count("penstock_compute_events_amended_total", \.amended)
    members["filtered"] = count("penstock_compute_events_filtered_total", \.filtered)
    members["late"] = count("penstock_compute_events_late_total", \.late)
    members["partitions"] = .array(
      partitions.enumerated().map { number, bounds in
        switch bounds {
        case .success(let bounds):
          [
            "partition": .int(Int64(number)), "start": .int(bounds.startOffset.rawValue),
            "high_watermark": .int(bounds.highWatermark.rawValue),
          ]
        case .failure(let error): ["partition": .int(Int64(number)), "problem": .string(error.description)]
        }
      })
    let starts = partitions.map { (try? $0.get())?.startOffset ?? .zero }
    members["views"] = .array(views.map { OverviewAnswers.json($0, logStarts: starts) })
    members["replays"] = .array(try await replays(of: views))
    members["sources_ahead"] = try await sourcesAhead()
    return .object(members)
  }

  /// The same each second, as Server-Sent Events named `overview`.
  /// - Parameters:
  ///   - slot: The stream's permit.
  ///   - isDraining: Ends the answer once it is true.
  func live(_ slot: LiveSlot, isDraining: @escaping @Sendable () -> Bool) async throws(QueryFailure) -> HTTPAnswer {
    var answer = HTTPAnswer(200, "text/event-stream", [])
    answer.headers = [("Cache-Control", "no-store")]
    answer.farewell = LivePieces.end
    answer.body = .pieces(
      first: OverviewAnswers.event(try await json()), Ticks(overview: self, slot: slot, isDraining: isDraining))
    return answer
  }

  private static func event(_ json: JSONValue) -> [UInt8] {
    var bytes = Array("event: overview\ndata: ".utf8)
    json.write(to: &bytes)
    bytes.append(contentsOf: "\n\n".utf8)
    return bytes
  }

  private struct Ticks: BodyPieces {
    static let interval: Duration = .seconds(1)
    let overview: OverviewAnswers
    let slot: LiveSlot
    let isDraining: @Sendable () -> Bool

    func attach(cut: @escaping @Sendable () -> Void) { slot.attach(cut: cut) }

    mutating func next() async throws -> [UInt8]? {
      slot.taken()
      // Cancelled when the reader has left or the service drains.
      do { try await Task.sleep(for: Ticks.interval) } catch { return nil }
      guard !isDraining() else { return nil }
      let event = OverviewAnswers.event(try await overview.json())
      slot.gave(event.count, of: 0)
      return event
    }
  }

  private func partitions() async -> [Result<PartitionBounds, LogError>] {
    var partitions: [Result<PartitionBounds, LogError>] = []
    for number in 0..<log.partitionCount {
      do throws(LogError) {
        partitions.append(.success(try await log.bounds(of: PartitionID(number))))
      } catch {
        partitions.append(.failure(error))
      }
    }
    return partitions
  }

  /// The sources whose clocks are ahead, at most `AheadSources.countMax` of them; null where no one knows.
  private func sourcesAhead() async throws(QueryFailure) -> JSONValue {
    guard let ahead else { return .null }
    let sources: [SourceStatus]
    do throws(ViewStoreError) { sources = try await ahead.list() } catch { throw QueryFailure(error) }
    return .array(
      sources.map { status in
        [
          "source": .string(status.source.string), "partition": .int(Int64(status.partition.index)),
          "largest_event_time": .string(status.largestEventTime.description),
          "last_append_time": .string(status.lastAppendTime.description),
        ]
      })
  }

  /// Generations beside the live ones that build, wait or have reached their end.
  private func replays(of views: [ViewStatus]) async throws(QueryFailure) -> [JSONValue] {
    guard let admin else { return [] }
    var replays: [JSONValue] = []
    for view in views {
      let generations: [GenerationStatus]
      do throws(ViewStoreError) {
        generations = try await admin.generations(of: view.definition.name)
      } catch {
        // A view that has just been removed has none.
        guard case .unknownView = error else { throw QueryFailure(error) }
        continue
      }
      for one in generations where [.building, .held, .complete].contains(one.state) {
        replays.append([
          "view": .string(one.definition.name), "generation": .int(Int64(one.generation)), "state": .string(one.state.rawValue),
          "events_done": .int(Int64(one.eventsDone)), "events_total": .int(Int64(one.eventsTotal)),
          "events_per_second": one.eventsPerSecond.map { .double($0.rounded()) } ?? .null,
          "seconds_left": one.secondsLeft.map { .double(($0 * 10).rounded() / 10) } ?? .null,
          "problem": one.problem.map { .string($0) } ?? .null,
        ])
      }
    }
    return replays
  }

  private static func json(_ ahead: AheadEventSources.Entry) -> JSONValue {
    [
      "source": .string(ahead.source), "count": .int(Int64(ahead.count)),
      "event_time": .string(ahead.eventTime.description), "time": .string(ahead.time.description),
    ]
  }

  private static func total(_ count: KeyPath<PartitionProgress, Int>, of view: ViewStatus) -> Int {
    view.partitions.reduce(0) { $0 + $1[keyPath: count] }
  }

  /// - Parameter logStarts: The start of each partition, in order.
  private static func json(_ view: ViewStatus, logStarts: [Offset]) -> JSONValue {
    var sum = LedgerRow()
    var times = JSONObject()
    for progress in view.partitions {
      let number = Int(progress.partition.rawValue)
      sum.add(LedgerRow(progress, logStart: logStarts.indices.contains(number) ? logStarts[number] : .zero))
      if let time = progress.eventTimeWatermark { times[progress.partition.description] = .string(time.description) }
    }
    var members: JSONObject = JSONObject()
    members["name"] = .string(view.definition.name)
    members["generation"] = .int(Int64(view.generation))
    for member in sum.members() where member.name != "balanced" { members[member.name] = member.value }
    members["offsets"] = view.offsets.json
    members["event_time_watermarks"] = .object(times)
    return .object(members)
  }
}
