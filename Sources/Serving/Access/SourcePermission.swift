/// The sources that a caller may write events as.
public struct SourcePermission: Sendable, Hashable {
  /// The most patterns of one caller: each event may be compared with all of them.
  public static let patternsMax = 256
  public static let all = SourcePermission(patterns: ["*"])

  private struct Pattern: Sendable, Hashable {
    /// The pattern without the star.
    var bytes: [UInt8]
    var isPrefix: Bool

    func matches(_ source: UnsafeRawBufferPointer) -> Bool {
      guard isPrefix ? source.count >= bytes.count : source.count == bytes.count else { return false }
      return source.prefix(bytes.count).elementsEqual(bytes)
    }
  }

  private let patterns: [Pattern]

  /// - Parameter patterns: Each a source, or the beginning of sources with a `*` at its end; at most `patternsMax`.
  public init(patterns: [String]) {
    precondition(patterns.count <= SourcePermission.patternsMax, "more patterns than a caller may have")
    self.patterns = patterns.map { text in
      let isPrefix = text.utf8.last == 0x2A
      return Pattern(bytes: Array(isPrefix ? text.utf8.dropLast() : text.utf8[...]), isPrefix: isPrefix)
    }
  }

  /// One source, taken literally.
  public init(source: String) { patterns = [Pattern(bytes: Array(source.utf8), isPrefix: false)] }

  /// - Parameter source: UTF-8.
  public func permits(_ source: UnsafeRawBufferPointer) -> Bool { patterns.contains { $0.matches(source) } }

  public func permits(_ source: String) -> Bool {
    var copy = source
    return copy.withUTF8 { permits(UnsafeRawBufferPointer($0)) }
  }
}
