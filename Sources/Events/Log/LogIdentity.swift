/// The identity of a log: an id that is drawn when the log is made, and an epoch that rises when it is repaired with
/// loss. Facts about one log (offsets, counts, producers' sequences) mean nothing in another.
public struct LogIdentity: Hashable, Sendable, CustomStringConvertible {
  /// The id's halves; not both 0.
  public let high: UInt64
  public let low: UInt64
  /// 1 or more.
  public let epoch: UInt32

  /// - Precondition: Not both halves are 0, and `epoch` is 1 or more.
  public init(high: UInt64, low: UInt64, epoch: UInt32) {
    precondition(high | low != 0 && epoch > 0, "an id is drawn, an epoch counts from 1")
    self.high = high
    self.low = low
    self.epoch = epoch
  }

  public static func random() -> LogIdentity {
    LogIdentity(high: .random(in: .min ... .max), low: .random(in: 1 ... .max), epoch: 1)
  }

  /// The same log after one more loss.
  public var next: LogIdentity { LogIdentity(high: high, low: low, epoch: epoch == .max ? epoch : epoch + 1) }

  /// Whether both are one log, perhaps at different epochs.
  public func isSameLog(as other: LogIdentity) -> Bool { high == other.high && low == other.low }

  /// 32 hexadecimal digits, `-`, the epoch.
  public var description: String { LogIdentity.digits(high) + LogIdentity.digits(low) + "-\(epoch)" }

  /// Reads the text of `description`; nil for any other text.
  public init?(parsing text: some StringProtocol) {
    let bytes = Array(text.utf8)
    guard bytes.count >= 34, bytes.count <= 43, bytes[32] == UInt8(ascii: "-"),
      !bytes.contains(UInt8(ascii: "+")), let high = UInt64(String(decoding: bytes[0..<16], as: UTF8.self), radix: 16),
      let low = UInt64(String(decoding: bytes[16..<32], as: UTF8.self), radix: 16),
      let epoch = UInt32(String(decoding: bytes[33...], as: UTF8.self)), high | low != 0, epoch > 0
    else { return nil }
    self.init(high: high, low: low, epoch: epoch)
  }

  private static func digits(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.utf8.count) + text
  }
}
