import Events
import NIOCore
import Serving

/// The reports that services send to the log's process for others to read: the routes that `RemoteReports` asks. They are no part
/// of the log.
public struct ReportRoutes: Sendable {
  /// The longest report: its rejects may have long messages.
  static let bodyBytesMax = 4 << 20

  /// The offsets from which compute instances need the log.
  public let needs = ReportedNeeds()
  public let rejects = ReportedRejects()
  private let ingests = ReportedIngests()

  public init() {}

  func sumOfIngests(_ request: HTTPRequest) -> WireResponse { WireResponse(["ingest": ingests.sum()?.json ?? .null]) }

  func lastRejects(_ request: HTTPRequest) -> WireResponse {
    WireResponse(["rejects": .array(rejects.newestFirst().map(\.json))])
  }

  func needed(_ request: HTTPRequest, _ partitionCount: Int) -> WireResponse {
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), let from = json["from"],
      let offsets = try? OffsetVector(parsing: from.text), offsets.offsets.keys.allSatisfy({ $0.index < partitionCount })
    else { return LogRoutes.bad("bad_request", #"expected {"from":{"0":118}}, of partitions the log has"#) }
    needs.report(offsets)
    return WireResponse(["from": from])
  }

  func ingested(_ request: HTTPRequest) -> WireResponse {
    guard let json = try? JSONValue(parsing: request.body.readableBytesView), case .string(let instance)? = json["instance"],
      (1...64).contains(instance.utf8.count), let report = json["report"].flatMap({ IngestReport($0) })
    else { return LogRoutes.bad("bad_request", #"expected {"instance":"a","report":{"received":12,…}}"#) }
    var (after, entries): (Int64, [RecentRejects.Entry]) = (0, [])
    if let told = json["rejects"] {
      guard case .int(let number)? = told["after"], number >= 0, let list = RecentRejects.Entry.list(told["entries"]) else {
        return LogRoutes.bad("bad_request", #"expected rejects as {"after":118,"entries":[{"number":119,…}]}"#)
      }
      (after, entries) = (number, list)
    }
    ingests.note(report, of: instance)
    let last = rejects.note(entries, after: Int(after), of: instance)
    return WireResponse(["instance": .string(instance), "rejects": .int(Int64(last))])
  }
}
