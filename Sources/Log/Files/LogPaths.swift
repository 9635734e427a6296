import Events

struct LogPaths: Sendable {
  /// `DIR/log`.
  let root: String

  var meta: String { root + "/meta" }
  var lock: String { root + "/lock" }
  func directory(_ partition: PartitionID) -> String { "\(root)/\(partition)" }
  func partition(_ partition: PartitionID) -> PartitionPaths { PartitionPaths(directory: directory(partition)) }
}

struct PartitionPaths: Sendable {
  let directory: String

  var marker: String { directory + "/high-watermark" }
  func segment(_ base: Offset) -> String { "\(directory)/\(PartitionPaths.name(base)).segment" }
  func index(_ base: Offset) -> String { "\(directory)/\(PartitionPaths.name(base)).index" }
  func producers(_ base: Offset) -> String { "\(directory)/\(PartitionPaths.name(base)).producers" }

  /// 20 digits, so that names sort as offsets do.
  static func name(_ base: Offset) -> String {
    let digits = String(base.rawValue)
    return String(repeating: "0", count: 20 - digits.utf8.count) + digits
  }

  /// The offset in a name such as `00000000000000000118.segment`; nil for any other name.
  static func base(of name: String, suffix: String) -> Offset? {
    guard name.utf8.count == 20 + suffix.utf8.count, name.hasSuffix(suffix),
      name.utf8.prefix(20).allSatisfy({ (0x30...0x39).contains($0) }), let value = Int64(name.prefix(20))
    else { return nil }
    return Offset(value)
  }
}
