#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@inline(__always) func compareBytes(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Int32 { memcmp(a, b, count) }

@inline(__always) package func bytesEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  a.count == b.count && (a.count == 0 || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
}

extension StringMethod {
  /// Whether the method holds for `text`, by bytes: with UTF-8 this is also by code points.
  func holds(_ text: UnsafeRawBufferPointer, _ part: UnsafeRawBufferPointer) -> Bool {
    guard part.count <= text.count else { return false }
    guard part.count > 0 else { return true }
    switch self {
    case .startsWith: return memcmp(text.baseAddress!, part.baseAddress!, part.count) == 0
    case .endsWith: return memcmp(text.baseAddress! + (text.count - part.count), part.baseAddress!, part.count) == 0
    case .contains: return occurs(part, in: text)
    }
  }
}

/// Whether `part` occurs in `text`; both have bytes.
///
/// A rolling hash chooses the positions worth comparing, so long, self-similar strings from a hostile device cost
/// linear time. Source: R. Karp and M. Rabin 1987.
private func occurs(_ part: UnsafeRawBufferPointer, in text: UnsafeRawBufferPointer) -> Bool {
  let count = part.count
  guard count <= text.count else { return false }
  let base: UInt64 = 0x9E37_79B9_7F4A_7C15
  var wanted: UInt64 = 0
  var hash: UInt64 = 0
  var leading: UInt64 = 1  // base to the power of count − 1
  for index in 0..<count {
    wanted = wanted &* base &+ UInt64(part[index])
    hash = hash &* base &+ UInt64(text[index])
    if index > 0 { leading = leading &* base }
  }
  var start = 0
  while true {
    if hash == wanted, memcmp(text.baseAddress! + start, part.baseAddress!, count) == 0 { return true }
    guard start + count < text.count else { return false }
    hash = (hash &- UInt64(text[start]) &* leading) &* base &+ UInt64(text[start + count])
    start += 1
  }
}

/// Code points in UTF-8: the bytes that begin one.
func codePointCount(_ bytes: UnsafeRawBufferPointer) -> Int {
  var count = 0
  for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
  return count
}
