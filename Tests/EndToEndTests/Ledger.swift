import Foundation

/// Where every event went, as `GET /v1/ledger` tells.
struct Ledger: Decodable, Sendable {
  struct Ingest: Decodable, Sendable {
    var received: Int
    var appended: Int
    var duplicates: Int
    var rejected: Int
    var in_flight: Int
  }

  struct Partition: Decodable, Sendable {
    var partition: Int
    var high_watermark: Int
  }

  struct View: Decodable, Sendable {
    struct Partition: Decodable, Sendable {
      var partition: Int
      var first_offset: Int
      var next_offset: Int
      var appended: Int
      var applied: Int
      var amended: Int
      var filtered: Int
      var late: Int
      var pending: Int
    }

    var view: String
    var appended: Int
    var applied: Int
    var filtered: Int
    var late: Int
    var pending: Int
    var partitions: [Partition]
  }

  /// The counts of the process since it started: a crash loses them.
  var ingest: Ingest
  /// The log's and the views' parts are durable.
  var log: [Partition]
  var views: [View]
  var balanced: Bool

  /// By partition.
  var highWatermarks: [Int: Int] { Dictionary(uniqueKeysWithValues: log.map { ($0.partition, $0.high_watermark) }) }

  /// The sums that do not add up, at any moment.
  var differences: [String] {
    var differences = balanced ? [] : ["balanced is false"]
    if ingest.in_flight < 0 || ingest.received != ingest.appended + ingest.duplicates + ingest.rejected + ingest.in_flight {
      differences.append("ingest: \(ingest)")
    }
    for view in views {
      if view.appended != view.applied + view.filtered + view.late + view.pending { differences.append("\(view)") }
      for row in view.partitions {
        let counted = row.applied + row.filtered + row.late
        if row.amended > row.applied { differences.append("\(view.view) amends more than it applies: \(row)") }
        if row.appended != counted + row.pending || row.next_offset != row.first_offset + counted {
          differences.append("\(view.view): \(row)")
        }
        // The views are asked after the log.
        if row.next_offset + row.pending < highWatermarks[row.partition] ?? 0 { differences.append("\(view.view) lacks: \(row)") }
      }
    }
    return differences
  }

  /// The events still under way, or missing.
  /// - Parameter before: The log's high watermarks when the process started, by partition; nil where devices had sent by then.
  func unsettled(since before: [Int: Int]?) -> [String] {
    var unsettled = views.filter { $0.pending != 0 }.map { "\($0.view): \($0.pending) pending" }
    if ingest.in_flight != 0 { unsettled.append("\(ingest.in_flight) in flight") }
    if let before {
      let grown = highWatermarks.values.reduce(0, +) - before.values.reduce(0, +)
      if grown != ingest.appended {
        unsettled.append("the log has grown by \(grown) events, of which ingest appended \(ingest.appended)")
      }
    }
    return unsettled
  }
}

extension QueryAPI {
  func ledger() async throws -> Ledger {
    let (status, body) = try await get("/v1/ledger", [])
    guard status == 200 else { throw EndToEndError("the ledger gave \(status): \(String(decoding: body, as: UTF8.self))") }
    return try JSONDecoder().decode(Ledger.self, from: body)
  }
}
