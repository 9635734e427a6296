import Events
import NIOCore
import Serving

/// The routes of the record of views, which lies with the log; `RemoteLog` calls them as a `ViewsRecord`.
extension LogRoutes {
  private func record() throws(LogError) -> any ViewsRecord {
    guard let views else { throw LogError(.unavailable, "this process keeps no record of views") }
    return views
  }

  func entries(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    let record = try record()
    guard let parameters = request.decodedQuery, let from = parameters["from"].flatMap({ Int($0) }),
      let bytesMax = Int(parameters["bytes_max"] ?? "4194304")
    else { return LogRoutes.bad("bad_parameter", "from and bytes_max are whole numbers") }
    let entries = try await record.entries(from: from, bytesMax: min(max(bytesMax, 0), ViewsRecordLimits.entryBytesMax))
    return WireResponse(contentType: WireContent.viewsRecord, body: ViewsRecordCoding.encode(entries))
  }

  func appendEntry(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    let record = try record()
    guard let number = request.decodedQuery?["number"].flatMap({ Int($0) }), number >= 0,
      (1...ViewsRecordLimits.entryBytesMax).contains(request.body.readableBytes)
    else { return LogRoutes.bad("bad_request", "expected an entry as the body, and number as a whole number, 0 or more") }
    return WireResponse(["appended": .bool(try await record.append(Array(request.body.readableBytesView), as: number))])
  }

  func waitForEntry(_ request: HTTPRequest) async throws(LogError) -> WireResponse {
    let record = try record()
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), case .int(let past)? = json["past"],
      case .int(let milliseconds)? = json["timeout_ms"], milliseconds >= 0
    else { return LogRoutes.bad("bad_request", #"expected {"past":118,"timeout_ms":20000}"#) }
    let isPast = try await within(.milliseconds(min(milliseconds, 1 << 31))) { () async throws(LogError) in
      try await record.waitForEntry(past: Int(clamping: past))
    }
    return WireResponse(["appended": .bool(isPast)])
  }

  /// Waits until `body` returns, at most `waitMax`.
  /// - Returns: Whether it returned; false when the time is up.
  func within(
    _ timeout: Duration, _ body: @escaping @Sendable () async throws(LogError) -> Void
  ) async throws(LogError) -> Bool {
    let timeout = min(timeout, LogRoutes.waitMax)
    let result = await withTaskGroup(of: Result<Bool, LogError>.self) { group in
      group.addTask {
        do throws(LogError) {
          try await body()
          // It also returns when it is cancelled.
          return .success(!Task.isCancelled)
        } catch {
          return .failure(error)
        }
      }
      group.addTask {
        // Ends early when the other is done, or the caller has left.
        try? await Task.sleep(for: timeout)
        return .success(false)
      }
      defer { group.cancelAll() }
      return await group.next() ?? .success(false)
    }
    return try result.get()
  }
}
