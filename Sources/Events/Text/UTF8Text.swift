import Glibc

/// Text that somebody sent, compared as the bytes it is.
///
/// Swift's `String` takes canonically equal texts for one: `"caf\u{E9}" == "cafe\u{301}"`. To those who send them they are two names.
/// So nothing that users send is a dictionary's key, or is compared or sorted, as a `String`: it is one as this, or by `hasSameBytes(as:)`.
/// Names that the project gives (settings, routes, metrics), and names held to ASCII (views, columns), may be.
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
    // A byte that UTF-8 does not have sets one text off from the next.
    hasher.combine(UInt8(0xFF))
  }
}

extension StringProtocol {
  /// Whether both are the same UTF-8; canonically equal texts of other bytes are not.
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
