import Views

/// The seam between compute instances and the one place where they agree which generations there are: a text that is only replaced while it
/// is still the one that was read.
public protocol SharedGenerations: Sendable {
  /// The newest text and its version; nil when there is none yet.
  /// - Throws: `.unavailable` when the place cannot be asked.
  nonisolated(nonsending) func load() async throws(ViewStoreError) -> SharedText?

  /// Replaces the text of the version given, 0 for none.
  /// - Returns: The new text's version; nil when the place holds another version by now.
  nonisolated(nonsending) func replace(_ text: String, version: UInt64) async throws(ViewStoreError) -> UInt64?

  /// Calls `changed` once at first, and then whenever there may be another text, until the task is cancelled.
  nonisolated(nonsending) func watch(_ changed: @Sendable () async -> Void) async
}

public struct SharedText: Sendable, Hashable {
  /// What Consul takes in one transaction, base64 and all: 512 KiB.
  public static let bytesMax = 256 << 10

  public var text: String
  /// Greater than 0; another for another text.
  public var version: UInt64

  public init(text: String, version: UInt64) {
    self.text = text
    self.version = version
  }
}
