import ArgumentParser
import Events
import Log

struct LogExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write events as NDJSON, which `penstock send` takes in again.",
    discussion: """
      Partition by partition, in the order of their offsets, so that each source's events keep theirs. Every event has what it came \
      with: source, id, sequence, epoch, time, extensions, data. Sent to another log, the same events give the same results.
      """)

  @Argument(help: ArgumentHelp("The file to write, gzipped where it ends in .gz, or - for standard output.", valueName: "file"))
  var file = "-"

  @Option(help: ArgumentHelp("Events of this time or later, RFC 3339 or a date.", valueName: "time"), transform: parseMoment)
  var from: Timestamp?

  @Option(help: ArgumentHelp("Events before this time, RFC 3339 or a date.", valueName: "time"), transform: parseMoment)
  var to: Timestamp?

  @Flag(help: "Compress, whatever the file's name.")
  var gzip = false

  @Flag(help: "Also whole batches behind the high watermark, which the next start would keep.")
  var tail = false

  @OptionGroup var stored: StoredLogOptions

  func validate() throws {
    if let from, let to, from > to { throw ValidationError("--from is after --to") }
  }

  func run() throws {
    let log = try stored.open()
    let partitions = try stored.partitions(of: log).map { try log.partition($0, includingTail: tail) }
    let times = from == nil && to == nil ? nil : (from?.nanoseconds ?? .min)..<(to?.nanoseconds ?? .max)
    var bar = ProgressBar("exporting", total: partitions.reduce(0) { $0 + $1.bytes }, unit: "bytes")
    let output = try ExportFile(path: file, isGzip: gzip || file.hasSuffix(".gz"))
    var writer = EventLineWriter()
    var events = 0, bytes = 0
    for partition in partitions {
      var batches = try StoredBatches(partition, times: times)
      while let next = try batches.next() {
        events += writer.append(next.batch, 0..<next.batch.count, times: times)
        bytes += next.batch.encoded.count
        if writer.byteCount >= ExportFile.chunkBytes {
          try writer.withBytes { try output.write($0) }
          writer.removeAll()
          bar.update(bytes)
        }
      }
    }
    try writer.withBytes { try output.write($0) }
    try output.finish()
    bar.finish()
    StandardStream.error.note(
      "\(grouped(events)) events of \(partitions.count == 1 ? "1 partition" : "\(partitions.count) partitions")")
  }
}
