import Events
import Views

/// The parameters of `GET /v1/sources`.
struct SourcesQuery: Sendable {
  static let parameterNames = ["prefix", "source", "order", "idle_for", "ahead", "limit", "cursor", "format"]
  static let limitDefault = 100

  private(set) var request: SourceReadRequest
  /// Differs for queries whose pages do not belong together.
  private let fingerprint: String

  /// - Parameters:
  ///   - parameters: The request's.
  ///   - partitionCount: The number of the log's partitions.
  ///   - now: The end of the time for which a source is idle.
  init(_ parameters: QueryParameters, partitionCount: Int, now: Timestamp) throws(QueryFailure) {
    let limit = try parameters.integer("limit", default: SourcesQuery.limitDefault, in: 1...SourceReadRequest.limitMax)
    request = SourceReadRequest(
      prefix: UTF8Text(parameters["prefix"] ?? ""), source: parameters["source"].map { UTF8Text($0) },
      isAheadOnly: try parameters.boolean("ahead"), order: try SourcesQuery.order(parameters), limit: limit)
    if let idle = try parameters.duration("idle_for") {
      let (time, overflow) = now.nanoseconds.subtractingReportingOverflow(idle)
      request.lastAppendedBy = Timestamp(nanoseconds: overflow ? .min : time)
    }
    fingerprint = SourcesQuery.fingerprint(parameters)
    guard let text = parameters["cursor"] else { return }
    let place = try SourcesPlace(text, fingerprint: fingerprint, partitionCount: partitionCount)
    request.after = place.last
    // All pages list the sources that were idle when the first was asked for.
    if request.lastAppendedBy != nil { request.lastAppendedBy = place.lastAppendedBy ?? request.lastAppendedBy }
  }

  /// The cursor of the page behind a place.
  func cursor(_ place: SourcePlace) -> String {
    SourcesPlace(last: place, lastAppendedBy: request.lastAppendedBy).text(fingerprint: fingerprint)
  }

  /// `order=`: a column, with a `-` before it for descending.
  private static func order(_ parameters: QueryParameters) throws(QueryFailure) -> SourceOrder {
    guard let text = parameters["order"], !text.isEmpty else { return SourceOrder() }
    let isDescending = text.hasPrefix("-")
    let name = String(isDescending ? text.dropFirst() : text[...])
    guard let column = SourceOrder.Column(rawValue: name) else {
      let names = SourceOrder.Column.allCases.map(\.rawValue)
      let hint = nearest(to: name, among: names).map { "did you mean \($0)?" }
      throw .parameter(
        "order", "sources are not listed by '\(name.prefix(64))': \(hint ?? "they are by \(names.joined(separator: ", "))")")
    }
    return SourceOrder(column, isDescending: isDescending)
  }

  private static func fingerprint(_ parameters: QueryParameters) -> String {
    var text = ""
    for name in ["prefix", "source", "order", "idle_for", "ahead"] {
      text += parameters[name].map { "\($0.utf8.count):\($0)" } ?? "-"
    }
    return String(text.withUTF8 { stableHash(UnsafeRawBufferPointer($0)) }, radix: 16)
  }
}

/// `cursor=` of sources: base64url of `{"v":1,"q":"<fingerprint>","n":<value>,"s":"<source>","p":0,"i":<nanoseconds>}`.
struct SourcesPlace: Sendable, Hashable {
  /// The last source that was listed.
  var last: SourcePlace
  /// The latest append time of an idle source; nil where others are listed too.
  var lastAppendedBy: Timestamp?

  init(last: SourcePlace, lastAppendedBy: Timestamp?) {
    self.last = last
    self.lastAppendedBy = lastAppendedBy
  }

  func text(fingerprint: String) -> String {
    var members = JSONObject()
    members["v"] = .int(1)
    members["q"] = .string(fingerprint)
    members["n"] = .int(last.value)
    members["s"] = .string(last.source.string)
    members["p"] = .int(Int64(last.partition.index))
    if let lastAppendedBy { members["i"] = .int(lastAppendedBy.nanoseconds) }
    var bytes: [UInt8] = []
    JSONValue.object(members).write(to: &bytes)
    return Base64URL.encode(bytes)
  }

  init(_ text: String, fingerprint: String, partitionCount: Int) throws(QueryFailure) {
    let json = try CursorText.decode(text)
    guard json["v"] == .int(1), case .string(let itsOwn)? = json["q"], case .int(let value)? = json["n"],
      case .string(let source)? = json["s"], case .int(let partition)? = json["p"], (0..<Int64(partitionCount)).contains(partition)
    else { throw CursorText.invalid }
    guard itsOwn == fingerprint else { throw CursorText.foreign("prefix, source, order, idle_for and ahead") }
    last = SourcePlace(value: value, source: UTF8Text(source), partition: PartitionID(Int(partition)))
    if case .int(let time)? = json["i"] { lastAppendedBy = Timestamp(nanoseconds: time) }
  }
}
