import Events
import Views

/// What `GET /v1/views/{view}` asks for, checked against the view.
struct ViewQuery: Sendable {
  static let parameterNames = [
    "from", "to", "where", "group_by", "step", "order", "limit", "cursor", "after", "timeout", "format",
    "generation", "as_of", "allow_partial",
  ]
  static let limitDefault = 1000

  var definition: ViewDefinition
  var generation: Int
  /// Of the result.
  var columns: [SchemaColumn]
  /// Nanoseconds, on the view's own windows.
  var from: Int64?
  var to: Int64?
  var filter: Expression?
  /// The one key that fulfils `filter`, where there is but one.
  private(set) var key: [UInt8]?
  /// Numbers of the view's keys, in the order of the result; nil keeps all as they are.
  var keptKeys: [Int]?
  /// Nanoseconds; nil where it would change nothing.
  var step: Int64?
  var order: [OrderTerm]
  var limit: Int
  var after: OffsetVector?
  var asOf: OffsetVector?
  /// Whether `generation=` names it: else the live one is read, whichever that is by then.
  var isPinned: Bool
  var timeout: Duration
  /// Whether the rows of some partitions are better than none; the answer says which are missing.
  var allowsPartial: Bool

  /// - Parameters:
  ///   - partitionCount: Of the log.
  ///   - rowsMax: What `limit` may be at most.
  ///   - isUnlimited: Without `limit`, all rows are asked for, and not a page of them.
  init(
    _ parameters: QueryParameters, definition: ViewDefinition, generation: Int, partitionCount: Int, rowsMax: Int,
    isUnlimited: Bool = false
  ) throws(QueryFailure) {
    let schema = definition.schema
    self.definition = definition
    self.generation = generation
    (from, to) = try parameters.timeRange()
    filter = nil
    if let text = parameters["where"] { filter = try Expression(where: text, keysOf: schema) }
    key = filter?.pointKey(schema.keys.map(\.name))
    keptKeys = try ViewQuery.keptKeys(parameters["group_by"], schema.keys.map(\.name))
    step = try ViewQuery.step(parameters, definition)
    let keys = schema.keys
    columns = Array(schema.columns.prefix(ViewSchema.reservedNames.count))
    columns += keptKeys.map { kept in kept.map { keys[$0] } } ?? keys
    columns += schema.aggregates
    order = []
    if let text = parameters["order"] { order = try OrderTerm.parse(text, columns: columns) }
    limit = try parameters.integer("limit", default: min(ViewQuery.limitDefault, rowsMax), in: 1...rowsMax)
    if isUnlimited, parameters["limit"] == nil { limit = .max }
    after = try ViewQuery.offsets("after", parameters, partitionCount)
    asOf = try ViewQuery.offsets("as_of", parameters, partitionCount)
    isPinned = parameters["generation"] != nil
    timeout = try parameters.timeout(default: .seconds(5))
    switch parameters["allow_partial"] {
    case nil, "false": allowsPartial = false
    case "true": allowsPartial = true
    default: throw .parameter("allow_partial", "expected true or false")
    }
  }

  /// All rows, as they are.
  init(everyRowOf definition: ViewDefinition, generation: Int) {
    self.definition = definition
    self.generation = generation
    columns = definition.schema.columns
    order = []
    limit = .max
    isPinned = false
    timeout = .seconds(5)
    allowsPartial = false
  }

  private static func keptKeys(_ text: String?, _ names: [String]) throws(QueryFailure) -> [Int]? {
    guard let text else { return nil }
    guard !text.isEmpty else { return [] }
    var kept: [Int] = []
    for name in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let index = names.firstIndex(of: String(name)) else {
        let known = names.isEmpty ? "the view has none" : "the view's are \(names.joined(separator: ", "))"
        throw .parameter("group_by", "there is no key '\(name.prefix(64))': \(known)")
      }
      guard !kept.contains(index) else { throw .parameter("group_by", "key '\(name)' is named twice") }
      kept.append(index)
    }
    return kept == Array(names.indices) ? nil : kept
  }

  private static func step(_ parameters: QueryParameters, _ definition: ViewDefinition) throws(QueryFailure) -> Int64? {
    guard let step = try parameters.duration("step") else { return nil }
    // Sessions begin at any time.
    let size = definition.window.isSession ? 1 : definition.window.length
    guard step > 0, step % size == 0, step <= WindowDefinition.lengthMax else {
      throw .parameter(
        "step",
        "\(DurationText.text(step)) is not a multiple of the view's window, \(DurationText.text(size)), up to "
          + DurationText.text(WindowDefinition.lengthMax))
    }
    if case .hop(_, let every) = definition.window {
      guard size % every == 0 else {
        throw .parameter(
          "step", "the windows of \(definition.name) overlap and none follow one another without a gap: they do not merge")
      }
      return step
    }
    return step == size ? nil : step
  }

  private static func offsets(
    _ name: String, _ parameters: QueryParameters, _ partitionCount: Int
  ) throws(QueryFailure) -> OffsetVector? {
    guard let text = parameters[name] else { return nil }
    let after: OffsetVector
    do throws(OffsetVectorError) {
      after = try OffsetVector(parsing: text)
    } catch {
      throw .parameter(name, error.detail)
    }
    for partition in after.offsets.keys.sorted() where partition.index >= partitionCount {
      throw .parameter(name, "there is no partition \(partition): the log has \(partitionCount), from 0")
    }
    return after
  }

  /// What to ask of a store.
  var request: ViewReadRequest {
    // A session of fewer keys may begin before the sessions it is made of.
    let isJoined = definition.joinsSessions(keptKeys: keptKeys)
    let (from, to) = isJoined ? (nil, nil) : (from, to)
    return ViewReadRequest(
      view: definition.name, generation: isPinned ? generation : nil, from: from.map { Timestamp(nanoseconds: $0) },
      to: to.map { Timestamp(nanoseconds: $0) }, after: after, timeout: timeout, keyFilter: filter, key: key, asOf: asOf,
      allowsPartial: allowsPartial)
  }

  /// Whether the result's rows are those of the store, in its order and all of them: so that none need wait for another.
  var isStreamable: Bool {
    limit == .max && OrderTerm.isNatural(order) && keptKeys == nil && step == nil && asOf == nil
      && !definition.joinsSessions(keptKeys: nil)
  }

  /// The result's rows of those read: those that are wanted, merged, in the order of window start and key.
  func result(of read: PartialRows) -> PartialRows {
    var rows = read
    if let filter {
      var scratch = EvaluationScratch()
      rows = rows.filtered(by: filter, keys: definition.keys.map(\.name), using: &scratch)
    }
    // Of overlapping windows, merging takes those that follow one another: else events would count several times.
    if step != nil, case .hop(let size, _) = definition.window { rows = rows.filtered { $0 % size == 0 } }
    if definition.joinsSessions(keptKeys: keptKeys) {
      // Which windows there are is known only when sessions are joined.
      let first = from ?? .min
      let end = to ?? .max
      rows = rows.merged(for: definition, keptKeys: keptKeys).filtered { $0 >= first && $0 < end }
      return step == nil ? rows : rows.merged(layout: definition.layout, step: step)
    }
    guard keptKeys != nil || step != nil || !rows.isMerged else { return rows }
    return rows.merged(for: definition, keptKeys: keptKeys, step: step)
  }

  /// `[{"name":"temp_avg","type":"double"},…]`
  var columnsJSON: JSONValue {
    .array(columns.map { ["name": .string($0.name), "type": .string($0.type.rawValue)] })
  }

  /// Tells queries apart whose pages do not go together, but not generations.
  var fingerprint: UInt64 {
    var text = "\(definition.name)\n\(from.map(String.init) ?? "")\n\(to.map(String.init) ?? "")\n"
    text += "\(asOf?.description ?? "") \(isPinned ? generation : 0)\n"
    text += "\(filter?.canonicalText ?? "")\n\(keptKeys.map { "\($0)" } ?? "all")\n\(step ?? 0)\n"
    for term in order { text += "\(term.column) \(term.isDescending)\n" }
    return text.withUTF8 { stableHash(UnsafeRawBufferPointer($0)) }
  }
}
