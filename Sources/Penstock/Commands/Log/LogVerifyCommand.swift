import ArgumentParser
import Events
import Log

struct LogVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Read the whole log and check everything in it against everything else.",
    discussion: """
      Every CRC and column, the density of offsets, that no (source, epoch, sequence) is there twice, indexes, producer snapshots, the \
      high-watermark file and the record of views. Exits with 3 when something differs, and says what and where.
      """)

  @OptionGroup var stored: StoredLogOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() throws {
    let log = try stored.open()
    let partitions = try stored.partitions(of: log)
    var bar = ProgressBar("verifying", total: stored.numbers.isEmpty ? try log.segmentBytes() : nil, unit: "bytes")
    var done = 0
    var results: [PartitionVerification] = []
    for partition in partitions {
      results.append(
        try log.verify(partition) { bytes in
          done += bytes
          bar.update(done)
        })
    }
    bar.finish()
    try outputOptions.write(table(results))
    var findings = results.flatMap(\.findings).map { "\($0)" }
    if let damage = try recordDamage() { findings.append(damage) }
    for finding in findings { StandardStream.error.note(finding) }
    guard findings.isEmpty else {
      throw CommandFailure(
        "\(findings.count == 1 ? "1 thing is" : "\(findings.count) things are") not as they must be; a partition that does not open can be "
          + "cut with `penstock log repair`", exitCode: .difference)
    }
  }

  /// The damage of the record of views; nil where there is none. A torn tail is cut at the next start, as a partition's is.
  private func recordDamage() throws -> String? {
    let directory = try stored.directory()
    do throws(LogError) {
      _ = try ViewsRecordFile.check(directory: directory)
      return nil
    } catch {
      guard error.code == .corrupt else { throw error }
      return error.detail
    }
  }

  private func table(_ results: [PartitionVerification]) -> Table {
    let numbers = ["partition", "start_offset", "end_offset", "segments", "batches", "events", "bytes", "torn_bytes"]
    var table = Table(numbers.map { Table.Column($0, isNumber: true) } + [Table.Column("findings", isNumber: true)])
    for result in results {
      let findings: RawJSON =
        outputOptions.output == .json
        ? .array(
          result.findings.map { finding in
            .object([
              .init(name: "file", value: .string(finding.file)),
              .init(name: "position", value: finding.position.map { .number($0) } ?? .null),
              .init(name: "detail", value: .string(finding.detail)),
            ])
          }) : .number(result.findings.count)
      table.append([
        .number(result.partition.rawValue), .number(result.startOffset), .number(result.endOffset), .number(result.segments),
        .number(result.batches), .number(result.events), .number(result.bytes), .number(result.tornBytes), findings,
      ])
    }
    return table
  }
}
