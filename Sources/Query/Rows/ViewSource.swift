import Events
import Synchronization
import Views

/// The rows that a query asked for, merged and complete: the content of pages, streams and statements.
struct ViewResult: Sendable {
  var query: ViewQuery
  let asOf: OffsetVector
  /// The JSON form of `asOf`.
  let asOfText: [UInt8]
  /// In the order of window start and key, no two alike.
  var rows: PartialRows
  var finality: Finality
  /// Partitions left out because nobody answers for them; empty unless the query allows it.
  var missing: [PartitionID] = []

  init(query: ViewQuery, asOf: OffsetVector, rows: PartialRows, finality: Finality, missing: [PartitionID] = []) {
    self.query = query
    self.asOf = asOf
    self.rows = rows
    self.finality = finality
    self.missing = missing
    var text: [UInt8] = []
    asOf.write(to: &text)
    asOfText = text
  }
}

/// Reads a store of views, with the few facts that are remembered between requests.
final class ViewSource: Sendable {
  /// The most that the known state of partitions may be out of date when it decides which are idle.
  private static let statusAge: Duration = .seconds(1)
  /// A definition that changes during a request is read again; this bounds the tries.
  private static let attemptsMax = 4

  private let store: any ViewStore
  private let idleAfter: Int64
  private let startedAt: Int64
  private let now: @Sendable () -> Timestamp
  private let known = Mutex<Known>(Known())

  /// The store's last statuses of all views. A read needs a definition before it asks, and this saves a question: every
  /// answer names its generation, so a definition that is no longer the view's is noticed.
  private struct Known {
    var views: [ViewStatus] = []
    var at: ContinuousClock.Instant?
  }

  init(store: any ViewStore, idleAfter: Duration, now: @escaping @Sendable () -> Timestamp) {
    self.store = store
    self.idleAfter = idleAfter.nanosecondsHeld
    self.now = now
    startedAt = now().nanoseconds
  }

  /// The rows of the query that `query` makes of the view's definition; `query` is called again when that has changed.
  /// - Parameter parameters: If its `generation` is set, that is read instead of the live one.
  func result(
    of view: String, _ parameters: QueryParameters, _ query: (ViewDefinition, _ generation: Int) throws(QueryFailure) -> ViewQuery
  ) async throws(QueryFailure) -> ViewResult {
    let (made, read) = try await asked(view, parameters, query) { query throws(QueryFailure) in
      let read = try await self.read(query.request)
      return (read, read.definition, read.generation)
    }
    return try await result(of: made, read)
  }

  /// All rows of a query, piece by piece and as of one moment.
  /// - Parameter room: Asked for a permit before a moment is held.
  /// - Returns: Nil when the query or the store does not allow it: then use `result`.
  func stream(
    of view: String, _ parameters: QueryParameters,
    _ query: (ViewDefinition, _ generation: Int) throws(QueryFailure) -> ViewQuery,
    room: (ViewQuery) async throws(QueryFailure) -> ExportSlot
  ) async throws(QueryFailure) -> (query: ViewQuery, stream: RowStream, finality: Finality, slot: ExportSlot)? {
    let (made, found) = try await asked(view, parameters, query) {
      query throws(QueryFailure) -> ((stream: RowStream, slot: ExportSlot)?, ViewDefinition, Int) in
      guard query.isStreamable else { return (nil, query.definition, query.generation) }
      let slot = try await room(query)
      let stream: RowStream?
      do throws(ViewStoreError) { stream = try await self.store.stream(query.request) } catch {
        throw QueryFailure(error)
      }
      guard let stream else { return (nil, query.definition, query.generation) }
      if query.request.generation == nil { self.noteLive(view, stream.head.generation) }
      return ((stream, slot), stream.head.definition, stream.head.generation)
    }
    guard let (stream, slot) = found else { return nil }
    let partitions = Finality.Partitions(stream.head)
    let finality =
      Finality.dependsOnIdlePartitions(made.definition)
      ? finality(made, partitions, stream.head.asOf, try await statuses(maxAge: ViewSource.statusAge))
      : Finality(definition: made.definition, keptKeys: made.keptKeys, partitions)
    return (made, stream.retained(), finality, slot)
  }

  /// Reads by `ask` for the query that `query` makes of the view's definition.
  private func asked<Read>(
    _ view: String, _ parameters: QueryParameters,
    _ query: (ViewDefinition, _ generation: Int) throws(QueryFailure) -> ViewQuery,
    _ ask: (ViewQuery) async throws(QueryFailure) -> (Read, definition: ViewDefinition, generation: Int)
  ) async throws(QueryFailure) -> (ViewQuery, Read) {
    var (definition, generation, isFresh) = try await definition(of: view, parameters)
    for _ in 0..<ViewSource.attemptsMax {
      let made: ViewQuery
      do throws(QueryFailure) {
        made = try query(definition, generation)
      } catch {
        // The query may be right for a newer definition than the one known here.
        guard !isFresh else { throw error }
        let before = generation
        (definition, generation) = try ViewSource.find(view, in: try await statuses(maxAge: .zero))
        isFresh = true
        guard generation != before else { throw error }
        continue
      }
      let (read, readDefinition, readGeneration) = try await ask(made)
      guard readGeneration == generation else {
        (definition, generation, isFresh) = (readDefinition, readGeneration, true)
        continue
      }
      return (made, read)
    }
    throw QueryFailure(
      503, "unavailable", "the definition of view \(view) keeps changing; try again", headers: ["Retry-After": "1"])
  }

  /// A store's answer, merged as the query wants it.
  func result(of query: ViewQuery, _ read: PartialResult) async throws(QueryFailure) -> ViewResult {
    let (rows, lastChanges) = query.result(of: read)
    let partitions = Finality.Partitions(read)
    var finality = Finality(definition: query.definition, keptKeys: query.keptKeys, partitions)
    finality.lastChanges = lastChanges
    if Finality.dependsOnIdlePartitions(query.definition), !finality.isEveryRowFinal(rows) {
      finality = self.finality(query, partitions, read.asOf, try await statuses(maxAge: ViewSource.statusAge))
      finality.lastChanges = lastChanges
    }
    return ViewResult(query: query, asOf: read.asOf, rows: rows, finality: finality, missing: read.missing)
  }

  /// The result of `result`, if that takes no waiting.
  func resultAtOnce(of query: ViewQuery) -> ViewResult? {
    guard let read = store.readAtOnce(query.request), read.generation == query.generation else { return nil }
    let (rows, lastChanges) = query.result(of: read, isOfKey: true)
    let partitions = Finality.Partitions(read)
    var finality = Finality(definition: query.definition, keptKeys: query.keptKeys, partitions)
    finality.lastChanges = lastChanges
    if Finality.dependsOnIdlePartitions(query.definition), !finality.isEveryRowFinal(rows) {
      guard let statuses = knownStatuses(maxAge: ViewSource.statusAge) else { return nil }
      finality = self.finality(query, partitions, read.asOf, statuses)
      finality.lastChanges = lastChanges
    }
    return ViewResult(query: query, asOf: read.asOf, rows: rows, finality: finality)
  }

  func read(_ request: ViewReadRequest) async throws(QueryFailure) -> PartialResult {
    let result: PartialResult
    do throws(ViewStoreError) {
      result = try await store.read(request)
    } catch {
      throw QueryFailure(error)
    }
    if request.generation == nil { noteLive(request.view, result.generation) }
    return result
  }

  /// An answer shows a view's live generation: earlier knowledge is out of date.
  private func noteLive(_ view: String, _ generation: Int) {
    known.withLock { known in
      let isKnown = known.views.contains { $0.definition.name == view && $0.generation == generation }
      if !isKnown { known = Known() }
    }
  }

  /// Decides finality with the known idle partitions.
  private func finality(
    _ query: ViewQuery, _ partitions: Finality.Partitions, _ asOf: OffsetVector, _ statuses: [ViewStatus]
  ) -> Finality {
    let known = statuses.first { $0.definition.name == query.definition.name }?.partitions ?? []
    let idleSince = now().nanoseconds - idleAfter
    var idle: Set<PartitionID> = []
    for progress in known {
      // A partition is idle only while the rows count all appended events, and nothing has been counted since the
      // status was taken. To one without any event nothing has been appended since this process first asked.
      guard progress.lagEvents == 0, asOf[progress.partition] == progress.nextOffset,
        progress.lastAppendTime?.nanoseconds ?? startedAt <= idleSince
      else { continue }
      idle.insert(progress.partition)
    }
    return Finality(definition: query.definition, keptKeys: query.keptKeys, partitions, idle: idle)
  }

  // MARK: Definitions

  private func definition(
    of view: String, _ parameters: QueryParameters
  ) async throws(QueryFailure) -> (definition: ViewDefinition, generation: Int, isFresh: Bool) {
    if parameters["generation"] != nil {
      let generation = try parameters.integer("generation", default: 1, in: 1...Int(Int32.max))
      // A read of no rows gives the generation's definition.
      let end = Timestamp(nanoseconds: .max)
      do throws(ViewStoreError) {
        let result = try await store.read(ViewReadRequest(view: view, generation: generation, from: end))
        return (result.definition, result.generation, true)
      } catch {
        throw QueryFailure(error)
      }
    }
    let known = known.withLock { $0.views.first { $0.definition.name == view } }
    if let known { return (known.definition, known.generation, false) }
    let (definition, generation) = try ViewSource.find(view, in: try await statuses(maxAge: .zero))
    return (definition, generation, true)
  }

  private static func find(_ view: String, in statuses: [ViewStatus]) throws(QueryFailure) -> (ViewDefinition, Int) {
    guard let status = statuses.first(where: { $0.definition.name == view }) else {
      throw QueryFailure(ViewStoreError.unknownView(view, known: statuses.map(\.definition.name)))
    }
    return (status.definition, status.generation)
  }

  /// Nil where the store has to be asked.
  private func knownStatuses(maxAge: Duration) -> [ViewStatus]? {
    guard maxAge > .zero else { return nil }
    let known = known.withLock { $0 }
    guard let at = known.at, ContinuousClock.now - at < maxAge else { return nil }
    return known.views
  }

  func tallies() async throws(QueryFailure) -> [ViewTally] {
    do throws(ViewStoreError) { return try await store.tallies() } catch { throw QueryFailure(error) }
  }

  /// - Parameter maxAge: The most that the statuses may be out of date; zero asks the store.
  func statuses(maxAge: Duration) async throws(QueryFailure) -> [ViewStatus] {
    if let known = knownStatuses(maxAge: maxAge) { return known }
    let asked = ContinuousClock.now
    do throws(ViewStoreError) {
      let views = try await store.views()
      known.withLock { known in
        // A later request may have answered earlier.
        if known.at.map({ $0 < asked }) ?? true { known = Known(views: views, at: asked) }
      }
      return views
    } catch {
      throw QueryFailure(error)
    }
  }
}
