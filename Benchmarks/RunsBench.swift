import Aggregates
import ArgumentParser
import Compute
import Events
import Glibc
import Views

struct RunsBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runs", abstract: "A view's rows as sorted runs: encoding, decoding and merging them, and their bytes.")

  @Option(help: "Rows: sensors of one window, each with count, sum, min and max of values with two decimals.")
  var rows = 60_000

  @Option(help: "Runs that are merged.")
  var merged = 8

  @Option(help: "Times that each is done, of which the median is given.")
  var repeats = 9

  @Flag(help: "Print a hash of the merged rows: always the same with --rows and --merged.")
  var hash = false

  func validate() throws {
    guard (1...RunsSample.rowsMax).contains(rows), repeats > 0, (1..<64).contains(merged) else {
      throw ValidationError("--rows is 1...\(RunsSample.rowsMax), --repeats at least 1, --merged 1...63")
    }
  }

  func run() async throws {
    let sample = RunsSample(rows: rows)
    var run = sample.all
    let encoding = measure { run = sample.all }
    let decoding = try measure { _ = try run.decode(checksStates: false) }
    let checking = try measure { _ = try run.decode(checksStates: true) }
    let stateBytes = Double(sample.rows.states.count * 8) / Double(rows)
    let bytes = Double(run.byteCount) / Double(rows)
    print(
      "runs  \(rows) rows of \(sample.layout.stride) words and keys of \(sample.rows.keyBytes.count / rows) bytes  "
        + "\(fixed(bytes, 1)) bytes a row, \(fixed(bytes * 100 / stateBytes, 0)) % of its state")
    print(
      "runs  encode \(fixed(encoding, 1)) ns a row, decode \(fixed(decoding, 1)), each state held to its layout \(fixed(checking, 1))"
    )
    let parts = sample.parts(merged)
    let whole = Array(repeating: run, count: merged)
    let apart = try measure { try EncodedRun.merge(parts) { _, _, _, _ in } }
    let together = try measure { try EncodedRun.merge(whole) { _, _, _, _ in } } / Double(merged)
    print(
      "runs  merge of \(merged), decoded meanwhile: \(fixed(apart, 1)) ns a row that is in one of them, "
        + "\(fixed(together, 1)) a version of rows that are in each")
    if hash { print("runs  result hash \(try sample.hash(merged: merged).text)") }
  }

  /// Nanoseconds a row.
  private func measure(_ body: () throws -> Void) rethrows -> Double {
    median(
      try (0..<repeats).map { _ in
        let start = monotonicNow()
        try body()
        return Double(monotonicNow() - start) / Double(rows)
      })
  }
}

/// Rows of sensors, each with twelve readings of one minute.
struct RunsSample {
  /// Their names have one length.
  static let rowsMax = 9_000_000
  private static let readings = 12
  private static let windowStart: Int64 = 1_700_000_040_000_000_000

  let layout = StateLayout([
    .init(function: .countRows, argument: nil), .init(function: .count, argument: 0), .init(function: .sum, argument: 0),
    .init(function: .min, argument: 0), .init(function: .max, argument: 0),
  ])
  private(set) var rows: PartialRows

  init(rows count: Int) {
    rows = PartialRows(stride: layout.stride)
    var states = StateRows(layout: layout, capacity: count)
    for _ in 0..<count { states.append() }
    let slots = (0..<count).map { Int32($0) }
    slots.withUnsafeBufferPointer { slots in
      let batch = StateRows.Batch(slots: slots, times: UnsafeBufferPointer(start: nil, count: 0), baseOffset: .zero)
      for reading in 0..<RunsSample.readings {
        var values = ValueVector(repeating: .double, count: count)
        values.bits = (0..<count).map { (Double(($0 &* 7919 &+ reading &* 104_729) % 4500 - 500) / 100).bitPattern }
        states.foldRows(batch)
        states.fold(argument: 0, values, batch) { _, _ in }
      }
    }
    for row in 0..<count {
      KeyCodec.encode([.string("s-\(1_000_000 + row)")]).withUnsafeBytes { key in
        rows.append(
          partition: PartitionID(0), windowStart: RunsSample.windowStart, windowEnd: RunsSample.windowStart + 60_000_000_000,
          key: key
        ) { states.appendCanonical(row, to: &$0) }
      }
    }
  }

  /// A run of all rows.
  var all: EncodedRun { EncodedRun(rows, events: Int64(RunsSample.readings), layout: layout) }

  /// Runs of which each row is in one.
  func parts(_ count: Int) -> [EncodedRun] {
    (0..<count).map { part in
      var own = PartialRows(stride: layout.stride)
      for row in 0..<rows.count where Int(mixed(UInt64(row)) % UInt64(count)) == part { own.append(row, of: rows) }
      return EncodedRun(own, events: Int64(RunsSample.readings), layout: layout)
    }
  }

  /// A hash of the rows of runs that share none, merged with one older that has them all.
  /// - Throws: When they are not the rows that went in, with the events of two versions.
  func hash(merged: Int) throws -> ResultHash {
    var hash = ResultHash(), expected = ResultHash()
    try EncodedRun.merge(parts(merged) + [all]) { slot, key, events, state in hash.add(slot, key, events, state) }
    for row in 0..<rows.count {
      rows.withKey(row) { key in
        rows.withState(row) { expected.add(RunsSample.windowStart, key, 2 * Int64(RunsSample.readings), $0) }
      }
    }
    guard hash.text == expected.text else { throw BenchError("the merged rows are not those that went in") }
    return hash
  }

  @Sendable static func check() throws -> ResultHash { try RunsSample(rows: 1000).hash(merged: 5) }
}

extension ResultHash {
  fileprivate mutating func add(
    _ slot: Int64, _ key: UnsafeRawBufferPointer, _ events: Int64, _ state: UnsafeBufferPointer<UInt64>
  ) {
    add(Int(slot))
    add(key)
    add(Int(events))
    add(UnsafeRawBufferPointer(state))
  }
}
