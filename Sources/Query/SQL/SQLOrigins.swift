/// The possible content of a program's registers and internal tables, as far as times are concerned.
struct SQLOrigins {
  struct Kinds: OptionSet {
    let rawValue: Int
    static let time = Kinds(rawValue: 1)
    /// A constant text whose order by bytes is its order by instant.
    static let canonical = Kinds(rawValue: 2)
    /// A constant that is no time: a number, another text.
    static let noTime = Kinds(rawValue: 4)
    /// Anything else.
    static let other = Kinds(rawValue: 8)
  }

  struct Content {
    var kinds: Kinds = []
    var text: String?

    mutating func join(_ other: Content) {
      kinds.formUnion(other.kinds)
      text = text ?? other.text
    }
  }

  /// Functions whose result is one of their arguments.
  private static let passing: Set = ["max", "min", "first_value", "last_value", "nth_value", "lag", "lead"]
  private static let numeric: Set = ["unixepoch", "julianday"]
  private static let insertions: Set = ["SorterInsert", "IdxInsert", "Insert"]
  private static let jumps: Set = ["NotNull", "IsNull", "If", "IfNot", "Goto", "Eq", "Ne", "Lt", "Le", "Gt", "Ge"]
  /// A jump over a write begins no further before it.
  private static let jumpReach = 16

  private let steps: [SQLProgram.Instruction]
  private let isTime: (_ cursor: Int, _ column: Int) -> Bool
  /// The addresses that write each register, in order.
  private var writes: [Int: [Int]] = [:]
  /// The addresses that put rows into each cursor's table, and the cursors of those rows.
  private var inserts: [Int: [Int]] = [:]
  private var duplicates: [Int: Int] = [:]
  private var keys: [Int: String] = [:]
  private var known: [Int: Content] = [:]
  private var columns: [[Int]: Content] = [:]

  init(_ program: SQLProgram, isTime: @escaping (_ cursor: Int, _ column: Int) -> Bool) {
    steps = program.instructions
    self.isTime = isTime
    for (address, step) in steps.enumerated() {
      for register in SQLOrigins.written(by: step) { writes[register, default: []].append(address) }
      if SQLOrigins.insertions.contains(step.opcode) { inserts[step.p1, default: []].append(address) }
      if step.opcode == "OpenPseudo" { inserts[step.p1, default: []].append(address) }
      if step.opcode == "OpenDup" { duplicates[step.p1] = step.p2 }
      if ["OpenEphemeral", "OpenAutoindex"].contains(step.opcode) { keys[step.p1] = step.p4 }
    }
  }

  private static func written(by step: SQLProgram.Instruction) -> Range<Int> {
    switch step.opcode {
    case "VColumn", "Column", "AggStep", "AggValue", "Function", "PureFunc", "MakeRecord", "Add", "Subtract", "Multiply",
      "Divide", "Remainder",
      "Concat":
      step.p3..<step.p3 + 1
    case "String8", "String", "Integer", "Int64", "Real", "SCopy", "IntCopy", "SorterData", "RowData", "Rowid", "Variable":
      step.p2..<step.p2 + 1
    case "Copy": step.p2..<step.p2 + max(step.p3, 0) + 1
    case "Move": step.p2..<step.p2 + max(step.p3, 0)
    default: 0..<0
    }
  }

  // MARK: registers

  /// The possible content of a register when an instruction reads it.
  mutating func content(of register: Int, at address: Int) -> Content {
    guard let all = writes[register] else { return Content(kinds: .other) }
    // Constants are loaded by the program's end, which runs first; loops read values that their end has written.
    let before = all[..<SQLOrigins.count(of: all, before: address)]
    var content = Content()
    guard !before.isEmpty else {
      for write in all { content.join(written(to: register, by: write)) }
      return content
    }
    for write in before.reversed() {
      content.join(written(to: register, by: write))
      // Whether a jump leads past the write to the read: then the earlier value may be there still.
      let jumps = (max(0, write - SQLOrigins.jumpReach)..<write).contains { place in
        SQLOrigins.jumps.contains(steps[place].opcode) && steps[place].p2 > write && steps[place].p2 <= address
      }
      if !jumps { break }
    }
    return content
  }

  /// The number of the ascending addresses that are smaller.
  private static func count(of addresses: [Int], before address: Int) -> Int {
    var (low, high) = (0, addresses.count)
    while low < high {
      let middle = (low + high) / 2
      if addresses[middle] < address { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private mutating func written(to register: Int, by address: Int) -> Content {
    let step = steps[address]
    if step.opcode == "Copy" || step.opcode == "Move" { return content(of: step.p1 + register - step.p2, at: address) }
    if let known = known[address] { return known }
    // Entered before the search, which may lead back to it.
    known[address] = Content()
    let content = result(of: step, at: address)
    known[address] = content
    return content
  }

  private mutating func result(of step: SQLProgram.Instruction, at address: Int) -> Content {
    let function = String(step.p4.prefix { $0 != "(" })
    switch step.opcode {
    case "VColumn": return Content(kinds: isTime(step.p1, step.p2) ? .time : .other)
    case "Column": return content(ofCursor: step.p1, column: step.p2)
    case "String8", "String":
      let isTime = SQLTime.nanoseconds(step.p4) != nil
      return Content(kinds: SQLTime.isCanonical(step.p4) ? .canonical : isTime ? .other : .noTime, text: step.p4)
    case "Integer": return Content(kinds: .noTime, text: "\(step.p1)")
    case "Int64", "Real": return Content(kinds: .noTime, text: step.p4)
    case "SCopy", "IntCopy": return content(of: step.p1, at: address)
    case "AggStep": return SQLOrigins.passing.contains(function) ? content(of: step.p2, at: address) : Content(kinds: .other)
    case "AggValue": return content(of: step.p1, at: address)
    case "Function", "PureFunc":
      if SQLOrigins.numeric.contains(function) { return Content(kinds: .noTime, text: "\(function)()") }
      guard SQLOrigins.passing.contains(function) else { return Content(kinds: .other, text: "\(function)()") }
      var result = content(of: step.p2, at: address)
      result.join(content(of: step.p2 + 1, at: address))
      return result
    default: return Content(kinds: .other)
    }
  }

  // MARK: tables of the program's own

  func key(ofCursor cursor: Int) -> String? { keys[duplicates[cursor] ?? cursor] }

  mutating func content(ofCursor cursor: Int, column: Int) -> Content {
    if let known = columns[[cursor, column]] { return known }
    columns[[cursor, column]] = Content()
    var result = Content()
    if let original = duplicates[cursor] { result.join(content(ofCursor: original, column: column)) }
    for address in inserts[cursor, default: []] { result.join(content(ofRecord: steps[address].p2, at: address, column: column)) }
    for (other, original) in duplicates where original == cursor {
      for address in inserts[other, default: []] {
        result.join(content(ofRecord: steps[address].p2, at: address, column: column))
      }
    }
    if result.kinds.isEmpty { result.kinds = .other }
    columns[[cursor, column]] = result
    return result
  }

  private mutating func content(ofRecord register: Int, at address: Int, column: Int) -> Content {
    let all = writes[register, default: []]
    // A pseudo cursor is opened before its record is there.
    let before = SQLOrigins.count(of: all, before: address)
    guard let write = before > 0 ? all[before - 1] : all.last else { return Content(kinds: .other) }
    let step = steps[write]
    switch step.opcode {
    case "MakeRecord": return column < step.p2 ? content(of: step.p1 + column, at: write) : Content(kinds: .other)
    case "SorterData", "RowData": return content(ofCursor: step.p1, column: column)
    default: return Content(kinds: .other)
    }
  }
}
