import Events
import Expressions
import Views

/// The query of `GET /v1/views/{view}`, checked against the view, with the parts that answering it again would need each time.
final class ViewQuery: Sendable {
  static let parameterNames = [
    "from", "to", "where", "group_by", "step", "order", "limit", "cursor", "after", "timeout", "format",
    "generation", "as_of", "allow_partial",
  ]
  static let limitDefault = 1000

  let definition: ViewDefinition
  let generation: Int
  let columns: [SchemaColumn]
  /// Nanoseconds, on the view's own windows.
  let from: Int64?
  let to: Int64?
  let filter: Expression?
  /// The numbers of the view's keys, in the order of the result; nil keeps all unchanged.
  let keptKeys: [Int]?
  /// Nanoseconds; nil where a step would change nothing.
  let step: Int64?
  let order: [OrderTerm]
  let limit: Int
  let asOf: OffsetVector?
  /// Whether `generation=` names it: else the live one is read.
  let isPinned: Bool
  let timeout: Duration
  /// Whether the rows of some partitions are better than none; the answer says which are missing.
  let allowsPartial: Bool
  let request: ViewReadRequest
  /// Differs for queries whose pages do not belong together, whatever their generation.
  let fingerprint: UInt64
  /// Whether every row of `request.key` meets `filter`, whatever else the row has.
  let isOfOneKey: Bool
  /// `[{"name":"temp_avg","type":"double"},…]`
  let columnsText: [UInt8]
  let labels: ColumnLabels

  /// - Parameters:
  ///   - partitionCount: The number of the log's partitions.
  ///   - rowsMax: The largest `limit`.
  ///   - isUnlimited: Whether a query without `limit` asks for all rows, and not for a page of them.
  ///   - reached: Offsets to wait for besides `after`.
  init(
    _ parameters: QueryParameters, definition: ViewDefinition, generation: Int, partitionCount: Int, rowsMax: Int,
    isUnlimited: Bool = false, reached: OffsetVector? = nil
  ) throws(QueryFailure) {
    let schema = definition.schema
    self.definition = definition
    self.generation = generation
    (from, to) = try parameters.timeRange()
    filter = try parameters["where"].map { text throws(QueryFailure) in try Expression(where: text, keysOf: schema) }
    keptKeys = try ViewQuery.keptKeys(parameters["group_by"], schema.keys.map(\.name))
    step = try ViewQuery.step(parameters, definition)
    let keys = schema.keys
    let keptColumns = keptKeys.map { kept in kept.map { keys[$0] } } ?? keys
    let columns = schema.columns.prefix(ViewSchema.reservedNames.count) + keptColumns + schema.aggregates
    self.columns = Array(columns)
    order = try parameters["order"].map { text throws(QueryFailure) in try OrderTerm.parse(text, columns: Array(columns)) } ?? []
    let limit = try parameters.integer("limit", default: min(ViewQuery.limitDefault, rowsMax), in: 1...rowsMax)
    self.limit = isUnlimited && parameters["limit"] == nil ? .max : limit
    var after = try parameters.offsets("after", partitionCount: partitionCount)
    if let reached {
      after = after ?? OffsetVector()
      after?.formMaximum(reached)
    }
    asOf = try parameters.offsets("as_of", partitionCount: partitionCount)
    isPinned = parameters["generation"] != nil
    timeout = try parameters.timeout(default: .seconds(5))
    switch parameters["allow_partial"] {
    case nil, "false": allowsPartial = false
    case "true": allowsPartial = true
    default: throw .parameter("allow_partial", "expected true or false")
    }
    let point = filter?.pointKey(schema.keys.map(\.name))
    isOfOneKey = point?.isWhole ?? false
    // A session of fewer keys may begin before the sessions that it joins; and a step's row is final only if sessions that begin
    // later are.
    let isJoined = definition.joinsSessions(keptKeys: keptKeys)
    let isOpenEnded = definition.isOpenEnded(keptKeys: keptKeys, step: step)
    request = ViewReadRequest(
      view: definition.name, generation: isPinned ? generation : nil,
      from: isJoined ? nil : from.map { Timestamp(nanoseconds: $0) },
      to: isOpenEnded ? nil : to.map { Timestamp(nanoseconds: $0) },
      after: after, timeout: timeout, keyFilter: filter, key: point?.key, asOf: asOf, allowsPartial: allowsPartial)
    var text = "\(definition.name)\n\(from.map(String.init) ?? "")\n\(to.map(String.init) ?? "")\n"
    text += "\(asOf?.description ?? "") \(isPinned ? generation : 0)\n"
    text += "\(filter?.canonicalText ?? "")\n\(keptKeys.map { "\($0)" } ?? "all")\n\(step ?? 0)\n"
    for term in order { text += "\(term.column) \(term.isDescending)\n" }
    fingerprint = text.withUTF8 { stableHash(UnsafeRawBufferPointer($0)) }
    columnsText = ViewQuery.text(of: self.columns)
    labels = ColumnLabels(self.columns)
  }

  init(everyRowOf definition: ViewDefinition, generation: Int) {
    self.definition = definition
    self.generation = generation
    columns = definition.schema.columns
    (from, to, filter, keptKeys, step, asOf) = (nil, nil, nil, nil, nil, nil)
    order = []
    limit = .max
    isPinned = false
    timeout = .seconds(5)
    allowsPartial = false
    request = ViewReadRequest(view: definition.name)
    fingerprint = 0
    isOfOneKey = false
    columnsText = ViewQuery.text(of: columns)
    labels = ColumnLabels(columns)
  }

  private static func text(of columns: [SchemaColumn]) -> [UInt8] {
    var text: [UInt8] = []
    JSONValue.array(columns.map { ["name": .string($0.name), "type": .string($0.type.rawValue)] }).write(to: &text)
    return text
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
    let size = definition.window.stepUnit
    guard step > 0, step % size == 0, step <= WindowDefinition.lengthMax else {
      throw .parameter(
        "step",
        "\(DurationText.text(step)) is not a multiple of the view's window, \(DurationText.text(size)), up to "
          + DurationText.text(WindowDefinition.lengthMax))
    }
    switch definition.window.stepMembers {
    case .all: return step == size ? nil : step
    case .aligned: return step
    case .none:
      throw .parameter(
        "step", "the windows of \(definition.name) overlap and none follow one another without a gap: they do not merge")
    }
  }

  /// Whether the result's rows are the store's, in its order and all of them: then no row depends on a later one.
  var isStreamable: Bool {
    limit == .max && OrderTerm.isNatural(order) && keptKeys == nil && step == nil && asOf == nil
      && !definition.joinsSessions(keptKeys: nil)
  }

  /// The result's rows: the wanted ones of the read, merged, in the order of window start and key.
  /// - Parameter isOfKey: Whether they are all rows of `request.key`.
  /// - Returns: The rows, with the time of each one's last possible change where that is not its window's end.
  func result(of read: PartialResult, isOfKey: Bool = false) -> (rows: PartialRows, lastChanges: [Int64]?) {
    var rows = read.rows
    if let filter, !(isOfKey && isOfOneKey) {
      var scratch = EvaluationScratch()
      rows = rows.filtered(by: filter, keys: definition.keys.map(\.name), using: &scratch)
    }
    if step != nil, definition.window.stepMembers == .aligned {
      let size = definition.window.length
      rows = rows.filtered { $0 % size == 0 }
    }
    let expiredEnd = read.expiredEnd
    if !definition.joinsSessions(keptKeys: nil) { rows = rows.retained(after: expiredEnd) }
    if definition.isOpenEnded(keptKeys: keptKeys, step: step) { return sessions(of: rows, expiredEnd) }
    return (rows.merged(for: definition, keptKeys: keptKeys, step: step), nil)
  }

  /// Sessions that are joined, or merged into steps.
  ///
  /// An event may still change such a row as long as one session of its keys is open, which it may extend to before its
  /// start, and as long as a session could begin less than the gap after the row.
  private func sessions(of read: PartialRows, _ expiredEnd: Int64?) -> (rows: PartialRows, lastChanges: [Int64]?) {
    var all = read.merged(for: definition, keptKeys: keptKeys)
    if definition.joinsSessions(keptKeys: nil) { all = all.retainedSessions(from: expiredEnd) }
    // The sessions are known only when they are joined.
    let first = from ?? .min
    var rows = all.filtered { start in start >= first && (to.map { start < $0 } ?? true) }
    if step != nil { rows = rows.merged(layout: definition.layout, step: step) }
    let open = rows.lastEnds(of: all)
    let lastChanges = (0..<rows.count).map { row -> Int64 in
      let end = step.map { WindowDefinition.tumbleEnd(of: rows.windowStarts[row], size: $0) } ?? rows.windowEnds[row]
      return max(open[row], WindowDefinition.end(of: end, size: definition.window.length))
    }
    return (rows, lastChanges)
  }
}
