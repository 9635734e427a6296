import Aggregates
import Events
import Expressions
import Views

struct OrderTerm: Sendable, Hashable {
  enum Column: Sendable, Hashable {
    case windowStart, windowEnd, final
    /// The key's number in the result.
    case key(Int)
    /// The aggregate's number in the view.
    case aggregate(Int)
  }

  var column: Column
  var isDescending: Bool

  /// Whether it is the natural order of results: by window start and keys.
  static func isNatural(_ order: [OrderTerm]) -> Bool {
    order.isEmpty || order == [OrderTerm(column: .windowStart, isDescending: false)]
  }

  /// Reads `order=`: names of the result's columns, each with a `-` before it for descending.
  static func parse(_ text: String, columns: [SchemaColumn]) throws(QueryFailure) -> [OrderTerm] {
    guard !text.isEmpty else { return [] }
    var terms: [OrderTerm] = []
    let firstKey = ViewSchema.reservedNames.count
    let keys = columns.count { $0.role == .key }
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let isDescending = part.hasPrefix("-")
      let name = String(isDescending ? part.dropFirst() : part)
      guard let index = columns.firstIndex(where: { $0.name == name }) else {
        let names = columns.map(\.name)
        let hint = nearest(to: name, among: names).map { "did you mean \($0)?" }
        throw .parameter(
          "order",
          "the result has no column '\(name.prefix(64))': \(hint ?? "it has \(names.joined(separator: ", "))")")
      }
      let column: Column =
        switch index {
        case 0: .windowStart
        case 1: .windowEnd
        case 2: .final
        case ..<(firstKey + keys): .key(index - firstKey)
        default: .aggregate(index - firstKey - keys)
        }
      guard !terms.contains(where: { $0.column == column }) else {
        throw .parameter("order", "column '\(name)' is named twice")
      }
      terms.append(OrderTerm(column: column, isDescending: isDescending))
    }
    return terms
  }
}

extension PartialRows {
  func value(of column: OrderTerm.Column, row: Int, _ layout: StateLayout, _ finality: Finality) -> ResultValue {
    switch column {
    case .windowStart: .time(Timestamp(nanoseconds: windowStarts[row]))
    case .windowEnd: .time(Timestamp(nanoseconds: windowEnds[row]))
    case .final: .bool(finality.isFinal(row, of: self))
    case .key(let index): keys(row)[index]
    case .aggregate(let index): withState(row) { layout.value(of: index, in: $0) }
    }
  }

  /// The rows in an order.
  ///
  /// - Precondition: The rows are `merged`: in the order of window start and key, no two alike.
  /// - Returns: Row numbers; nil when the rows are in that order already.
  func sorted(by order: [OrderTerm], _ layout: StateLayout, _ finality: Finality) -> [Int]? {
    if OrderTerm.isNatural(order) { return nil }
    // One value a row and column, so that sorting decodes nothing.
    let columns = order.map { term in (0..<count).map { value(of: term.column, row: $0, layout, finality) } }
    return (0..<count).sorted { a, b in
      for (term, values) in zip(order, columns) {
        if values[a] < values[b] { return !term.isDescending }
        if values[b] < values[a] { return term.isDescending }
      }
      return a < b
    }
  }
}
