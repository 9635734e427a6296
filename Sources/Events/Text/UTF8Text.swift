import Glibc

/// A text that a user sent, compared by its bytes.
///
/// Swift's `String` takes canonically equal texts for one: `"caf\u{E9}" == "cafe\u{301}"`. To their senders they are two names.
/// So no text that users send is a dictionary's key, or compared or sorted, as a `String`: it is a `UTF8Text`, or is compared by
/// `hasSameBytes(as:)`. Names that the project gives (settings, routes, metrics), and names restricted to ASCII (views, columns),
/// may be `String`.
///
/// The order is that of the bytes, and so of the code points.
public struct UTF8Text: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
  public let string: String

  public init(_ string: String) {
    var string = string
    // Once, so that no comparison has to.
    string.makeContiguousUTF8()
    self.string = string
  }

  public init(_ string: Substring) { self.init(String(string)) }

  public init(stringLiteral string: String) { self.init(string) }

  public var description: String { string }

  public static func == (a: Self, b: Self) -> Bool { a.string.hasSameBytes(as: b.string) }

  public static func < (a: Self, b: Self) -> Bool { a.string.utf8.lexicographicallyPrecedes(b.string.utf8) }

  public func hash(into hasher: inout Hasher) {
    var copy = string
    copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    // A byte that UTF-8 never has separates one text from the next.
    hasher.combine(UInt8(0xFF))
  }
}

extension StringProtocol {
  /// Whether both have the same UTF-8; canonically equal texts with other bytes do not.
  public func hasSameBytes(as other: some StringProtocol) -> Bool {
    let result = utf8.withContiguousStorageIfAvailable { a in
      other.utf8.withContiguousStorageIfAvailable { b in
        guard a.count == b.count, let first = a.baseAddress, let second = b.baseAddress else { return a.count == b.count }
        return memcmp(first, second, a.count) == 0
      }
    }
    return (result ?? nil) ?? utf8.elementsEqual(other.utf8)
  }
}
