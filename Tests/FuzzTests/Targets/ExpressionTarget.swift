import Events
import Expressions

extension FuzzTarget {
  /// Expressions: parsed, checked, and run over a few events.
  ///
  /// An accepted expression reads back from its own spelling as the same, and gives as many results as there are events.
  static let expression = FuzzTarget(
    name: "cel",
    dictionary: words(
      "data.", "has(", "&&", "||", "!", "==", "!=", "<=", " in ", "[", "]", "(", ")", "? ", ": ", "\"\\u00e9\"", "'", "r\"", "0x",
      "1u", "1e308",
      "9223372036854775807", "-9223372036854775808", ".startsWith(", ".matches(", ".size()", "size(", "timestamp(", "duration(",
      "int(", "double(",
      "string(", "%", "/", "*", "null", "true", "source", "time", "\u{0}", "\\")
  ) {
    []
  } run: { input in
    guard let text = String(validating: input, as: UTF8.self) else { return }
    let expression: Expression
    do throws(ExpressionError) { expression = try Expression(parsing: text) } catch { return }
    let again: Expression
    do throws(ExpressionError) {
      again = try Expression(parsing: expression.canonicalText)
    } catch {
      throw FuzzFinding("does not read back: \(error)")
    }
    guard again == expression else { throw FuzzFinding("reads back as \(again), not \(expression)") }
    var scratch = EvaluationScratch()
    var result = ValueVector(), second = ValueVector()
    expression.evaluate(over: rows, using: &scratch, into: &result)
    guard result.count == rows.count else { throw FuzzFinding("\(result.count) results of \(rows.count) rows") }
    let kinds = result.kinds
    again.evaluate(over: rows, using: &scratch, into: &second)
    guard kinds == second.kinds else { throw FuzzFinding("the spelling of its own gives other results") }
    var mask: [UInt8] = []
    _ = expression.select(from: rows, using: &scratch, into: &mask)
  }

  private static let rows = ColumnBatch(
    events: (0..<9).map { index in
      let data: [JSONValue?] = [
        ["temp": .int(5), "site": .string("ams"), "a": ["b": .bool(true)]], ["temp": .double(-0.5)], ["temp": .string("5")], [:],
        nil, .null,
        ["temp": .int(.min), "site": .string("é\u{301}")], ["temp": .array([.int(1)]), "a": .null], .int(.max),
      ]
      return Event(
        source: "s/\(index)", type: "t", id: index % 2 == 0 ? "i" : nil,
        time: Timestamp(nanoseconds: Int64(index) * 1_000_000_007), data: data[index])
    }, partition: PartitionID(0))
}
