/// Finds comparisons in which a view's time is not compared as a time, or is compared with another kind of value: they would be
/// answered, but wrongly.
///
/// SQLite compares a column under the column's own collation, and so a view's times as instants. A value computed from
/// a column has no collation: beside `max(window_start)`, `'2013-07-01 12:00:00'` is only text. So the statement's
/// program is searched: the last writes of each comparison's registers show their possible content.
struct SQLTimeCheck {
  private static let comparisons: Set = ["Eq", "Ne", "Lt", "Le", "Gt", "Ge"]
  private static let lookups: Set = ["Found", "NotFound", "NoConflict"]

  private let program: SQLProgram
  private var origins: SQLOrigins
  /// Whether times may have fractions, which have no order as text.
  private let hasFractions: Bool

  /// - Parameters:
  ///   - hasFractions: Whether any view's time may have a fraction of a second.
  ///   - isTime: Whether a cursor's column is a view's time.
  init(_ program: SQLProgram, hasFractions: Bool, isTime: @escaping (_ cursor: Int, _ column: Int) -> Bool) {
    self.program = program
    self.hasFractions = hasFractions
    origins = SQLOrigins(program, isTime: isTime)
  }

  /// - Returns: The fault of the statement, and advice; nil when there is none.
  mutating func complaint() -> String? {
    for (address, step) in program.instructions.enumerated() {
      if SQLTimeCheck.comparisons.contains(step.opcode) {
        let isByTime = step.p4.hasPrefix("\(SQLTime.collation)-")
        let (a, b) = (origins.content(of: step.p1, at: address), origins.content(of: step.p3, at: address))
        if let complaint = complaint(a, b, isByTime) ?? complaint(b, a, isByTime) { return complaint }
      } else if SQLTimeCheck.lookups.contains(step.opcode), let complaint = complaint(ofLookup: step, at: address) {
        return complaint
      }
    }
    return nil
  }

  /// A list after IN is a table of its own.
  private mutating func complaint(ofLookup step: SQLProgram.Instruction, at address: Int) -> String? {
    guard let count = Int(step.p4), count > 0, let key = origins.key(ofCursor: step.p1) else { return nil }
    let collations = key.split { $0 == "(" || $0 == ")" || $0 == "," }.dropFirst(2)
    for (index, collation) in collations.enumerated() where index < count {
      let isByTime = collation.drop { $0 == "-" } == SQLTime.collation
      let content = origins.content(of: step.p3 + index, at: address)
      guard let complaint = complaint(content, origins.content(ofCursor: step.p1, column: index), isByTime) else { continue }
      return complaint
    }
    return nil
  }

  private func complaint(_ content: SQLOrigins.Content, _ other: SQLOrigins.Content, _ isByTime: Bool) -> String? {
    guard content.kinds.contains(.time) else { return nil }
    let named = other.text.map { " ('\($0.prefix(64))')" } ?? ""
    if isByTime {
      guard other.kinds.contains(.noTime) else { return nil }
      return
        "a time is compared with what is none\(named): write it as '2013-07-01T12:00:00Z', '2013-07-01 12:00:00' or '2013-07-01'"
    }
    // Texts of whole seconds order as times do.
    guard !other.kinds.isSubset(of: hasFractions ? [] : [.time, .canonical]) else { return nil }
    return
      "a computed time is compared as text\(named): put COLLATE \(SQLTime.collation) after either side, so that they compare as times"
  }
}
