import Events
import Views

/// What `GET /v1/views/{view}` asks for, checked against the view.
struct ViewQuery: Sendable {
  static let parameterNames = [
    "from", "to", "where", "group_by", "step", "order", "limit", "cursor", "after", "timeout", "format",
    "allow_partial",
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
  /// Numbers of the view's keys, in the order of the result; nil keeps all as they are.
  var keptKeys: [Int]?
  /// Nanoseconds; nil where it would change nothing.
  var step: Int64?
  var order: [OrderTerm]
  var limit: Int
  /// Where the page before ended.
  var place: RowPlace?
  var after: OffsetVector?
  var timeout: Duration
  /// Whether the rows of some partitions are better than none; the answer says which are missing.
  var allowsPartial: Bool

  /// - Parameters:
  ///   - partitionCount: Of the log.
  ///   - rowsMax: What `limit` may be at most.
  init(
    _ parameters: QueryParameters, definition: ViewDefinition, generation: Int, partitionCount: Int, rowsMax: Int
  ) throws(QueryFailure) {
    let schema = definition.schema
    self.definition = definition
    self.generation = generation
    (from, to) = try parameters.timeRange()
    filter = nil
    if let text = parameters["where"] { filter = try Expression(where: text, keysOf: schema) }
    keptKeys = try ViewQuery.keptKeys(parameters["group_by"], schema.keys.map(\.name))
    step = try ViewQuery.step(parameters, definition)
    let keys = schema.keys
    columns = Array(schema.columns.prefix(ViewSchema.reservedNames.count))
    columns += keptKeys.map { kept in kept.map { keys[$0] } } ?? keys
    columns += schema.aggregates
    order = []
    if let text = parameters["order"] { order = try OrderTerm.parse(text, columns: columns) }
    limit = try parameters.integer("limit", default: min(ViewQuery.limitDefault, rowsMax), in: 1...rowsMax)
    after = try ViewQuery.after(parameters, partitionCount)
    timeout = try parameters.timeout(default: .seconds(5))
    switch parameters["allow_partial"] {
    case nil, "false": allowsPartial = false
    case "true": allowsPartial = true
    default: throw .parameter("allow_partial", "expected true or false")
    }
    if let text = parameters["cursor"] { place = try RowCursor.decode(text, for: self) }
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
    guard case .tumble(let size) = definition.window else {
      throw .parameter("step", "view \(definition.name) has no tumbling windows: only those merge")
    }
    guard step > 0, step % size == 0, step <= WindowDefinition.lengthMax else {
      throw .parameter(
        "step",
        "\(DurationText.text(step)) is not a multiple of the view's window, \(DurationText.text(size)), up to "
          + DurationText.text(WindowDefinition.lengthMax))
    }
    return step == size ? nil : step
  }

  private static func after(_ parameters: QueryParameters, _ partitionCount: Int) throws(QueryFailure) -> OffsetVector? {
    guard let text = parameters["after"] else { return nil }
    let after: OffsetVector
    do throws(OffsetVectorError) {
      after = try OffsetVector(parsing: text)
    } catch {
      throw .parameter("after", error.detail)
    }
    for partition in after.offsets.keys.sorted() where partition.index >= partitionCount {
      throw .parameter("after", "there is no partition \(partition): the log has \(partitionCount), from 0")
    }
    return after
  }

  /// What to ask of a store.
  var request: ViewReadRequest {
    var from = self.from
    var to = self.to
    // Rows before the page's start need not be read when the order begins with the window.
    if let place, order.first.map({ $0.column == .windowStart }) ?? true {
      if order.first?.isDescending == true {
        let end = WindowDefinition.end(of: place.windowStart, size: step ?? 1)
        to = min(to ?? .max, end)
      } else {
        from = max(from ?? .min, place.windowStart)
      }
    }
    return ViewReadRequest(
      view: definition.name, from: from.map { Timestamp(nanoseconds: $0) }, to: to.map { Timestamp(nanoseconds: $0) },
      after: after, timeout: timeout, keyFilter: filter, allowsPartial: allowsPartial)
  }

  /// Tells queries apart whose pages do not go together.
  var fingerprint: UInt64 {
    var text = "\(definition.name)\n\(generation)\n\(from.map(String.init) ?? "")\n\(to.map(String.init) ?? "")\n"
    text += "\(filter?.canonicalText ?? "")\n\(keptKeys.map { "\($0)" } ?? "all")\n\(step ?? 0)\n"
    for term in order { text += "\(term.column) \(term.isDescending)\n" }
    return text.withUTF8 { stableHash(UnsafeRawBufferPointer($0)) }
  }
}
