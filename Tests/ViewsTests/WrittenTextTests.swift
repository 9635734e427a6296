import Expressions
import Testing

@testable import Views

/// Definitions are kept as files of views: what is written must be read back equal, byte for byte, whatever stands in their
/// texts.
@Suite("Definitions as text")
struct WrittenTextTests {
  /// A definition with the text in a condition, in a key's path and in an aggregate's.
  private static func definition(_ text: String) throws -> ViewDefinition {
    let literal = ResultValue.string(text).expressionText
    let path = try Expression(parsing: "data[\(literal)]")
    return ViewDefinition(
      // As a user writes it, as far as the expression's own rules let it stand as it is.
      name: "v", filter: try Expression(parsing: "data.a == '\(Self.raw(text))'"),
      keys: [KeyColumn(name: "k", path: try #require(path.path))],
      window: .tumble(size: 1_000_000_000), aggregates: [AggregateColumn(name: "n", function: .count, argument: path)])
  }

  private static func raw(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "'": result += "\\'"
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func check(_ text: String, _ note: String) throws {
    let written = try definition(text)
    let read = try #require(try ViewCatalog(yaml: written.yaml, file: "f").views.first)
    let isSame =
      read.generationHash == written.generationHash && read == written
      && read.canonicalText.utf8.elementsEqual(written.canonicalText.utf8)
      && (read.filter?.text.utf8.elementsEqual(written.filter?.text.utf8 ?? "".utf8) ?? false)
    #expect(isSame, "\(note)")
  }

  @Test("every Unicode scalar reads back as itself, in conditions, keys and aggregates")
  func allScalars() throws {
    var chunk = "", first: UInt32 = 0, count = 0
    for value in UInt32(0)...0x10FFFF {
      guard let scalar = Unicode.Scalar(value) else { continue }
      chunk.unicodeScalars.append(scalar)
      count += 1
      guard count == 512 || value == 0x10FFFF else { continue }
      try Self.check(chunk, "from U+\(String(first, radix: 16)) to U+\(String(value, radix: 16))")
      (chunk, first, count) = ("", value + 1, 0)
    }
  }

  @Test("what YAML takes for a line's end, a control or a mark is a character like any other, wherever it stands")
  func specials() throws {
    for value: UInt32 in [
      0, 9, 0xA, 0xD, 0x1B, 0x20, 0x7F, 0x80, 0x85, 0x9F, 0xA0, 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x1FFFF,
    ] {
      let scalar = try #require(Unicode.Scalar(value))
      for text in ["\(scalar)", " \(scalar) ", "x\(scalar)y", "\(scalar)\(scalar) \(scalar)", "a \(scalar)\n  b: \"c\" # d"] {
        try Self.check(text, "U+\(String(value, radix: 16)) in \(text.debugDescription)")
      }
    }
  }

  @Test("a condition with a control character, as a file of views has it, is kept and read again")
  func fromFile() throws {
    for escape in [#"\x7f"#, #"\u0085"#, #"\u009f"#, #"\ufffe"#, #"\uffff"#, #"\u2028"#] {
      let file =
        "views:\n  v:\n    where: \"data.a == 'x\(escape)y'\"\n    window: { tumble: 1h }\n    aggregates: { n: count() }\n"
      let catalog = try ViewCatalog(yaml: file, file: "f")
      #expect(try ViewCatalog(yaml: catalog.yaml, file: "f").views == catalog.views, "\(escape)")
    }
  }

  @Test("texts that look the same and differ in bytes are different expressions, of different definitions")
  func looksTheSame() throws {
    let (one, two) = (try Expression(parsing: "data[\"\u{E9}\"]"), try Expression(parsing: "data[\"e\u{301}\"]"))
    #expect(one != two && Set([one, two]).count == 2)
    #expect(try Self.definition("\u{E9}") != Self.definition("e\u{301}"))
    let both = ViewDefinition(
      name: "v", window: .tumble(size: 1_000_000_000),
      aggregates: [
        AggregateColumn(name: "a", function: .count, argument: one), AggregateColumn(name: "b", function: .count, argument: two),
      ])
    #expect(both.arguments.count == 2)
  }
}
