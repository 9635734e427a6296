#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

struct FileError: Error {
  let path: String
}

/// A small file's text.
func text(ofFile path: String) throws -> String {
  guard let file = fopen(path, "rb") else { throw FileError(path: path) }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = Array(repeating: UInt8(0), count: 65536)
  while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
  return String(decoding: bytes, as: UTF8.self)
}
