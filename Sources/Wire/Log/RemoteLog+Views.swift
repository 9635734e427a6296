import Events
import NIOCore

/// The record of views lies with the log, so the log is asked.
extension RemoteLog: ViewsRecord {
  public nonisolated(nonsending) func entries(from number: Int, bytesMax: Int) async throws(LogError) -> [[UInt8]] {
    let request = WireRequest(
      .GET, "/v1/log/views?from=\(number)&bytes_max=\(bytesMax)", answerBytesMax: ViewsRecordCoding.bytesMax)
    let response = try await link.ask(request, patience: configuration.questionPatience)
    guard response.contentType == WireContent.viewsRecord, let entries = ViewsRecordCoding.decode(response.body) else {
      throw LogLink.malformed()
    }
    return entries
  }

  public nonisolated(nonsending) func append(_ entry: [UInt8], as number: Int) async throws(LogError) -> Bool {
    // Asked again when no answer comes: an entry that is there already is not appended twice.
    let request = WireRequest(
      .POST, "/v1/log/views?number=\(number)", contentType: WireContent.viewsRecord, body: ByteBuffer(bytes: entry))
    let response = try await link.ask(request, patience: configuration.questionPatience)
    guard case .bool(let isAppended)? = response.json?["appended"] else { throw LogLink.malformed() }
    return isAppended
  }

  public nonisolated(nonsending) func waitForEntry(past count: Int) async throws(LogError) {
    try await link.waitUntilAppended("/v1/log/views/wait", past: .int(Int64(count)), patience: configuration.patience)
  }
}
