import ArgumentParser
import Events
import Foundation
import Log

extension RepairPlan.Side: ExpressibleByArgument {}

struct LogRepairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair",
    abstract: "Make a damaged partition usable again: shows what it would do, asks, and keeps the original.",
    discussion: """
      Looks for what keeps a partition from being opened or read, and shows what can be kept. Once agreed to, it keeps the events before the \
      damage (or behind it, with --keep after), and moves the rest, and a copy of the file that is cut, to DIR/log-damaged. Offsets are \
      dense, so events on both sides of the damage cannot be kept in one log: export the others from the originals. What the next \
      start mends by itself (indexes, producer snapshots, a torn tail) is left to it. A repaired log has a new epoch: what was computed \
      from it before is put aside and computed anew once compute.accept_log says so.
      """)

  @Flag(help: "Do it without asking.")
  var yes = false

  @Option(help: "Which side of the damage to keep: before or after.")
  var keep = RepairPlan.Side.before

  @Flag(
    name: .customLong("accept-loss"),
    help: "Begin a partition anew, empty, of which nothing is left: its folder or all of its segments are missing.")
  var acceptsLoss = false

  @Option(
    help: ArgumentHelp(
      "Write a new meta file where it is missing or damaged: the number of partitions that the log was made with.",
      valueName: "n"))
  var partitions: Int?

  @OptionGroup var stored: StoredLogOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() throws {
    if let partitions { try writeMeta(partitions) }
    let log = try stored.open()
    let repair = try LogRepair(log)
    var plans: [RepairPlan] = []
    var bar = ProgressBar("reading", total: stored.numbers.isEmpty ? try log.segmentBytes() : nil, unit: "bytes")
    var done = 0
    for partition in try stored.partitions(of: log) {
      let plan = try repair.plan(partition, keeping: keep, acceptsLoss: acceptsLoss) { bytes in
        done += bytes
        bar.update(done)
      }
      if let plan { plans.append(plan) }
    }
    bar.finish()
    try outputOptions.write(table(plans))
    guard !plans.isEmpty else {
      StandardStream.error.note("nothing keeps a partition from being opened or read: nothing is to be repaired")
      return
    }
    for plan in plans {
      for reason in plan.reasons { StandardStream.error.note("\(reason)") }
      for warning in plan.warnings { StandardStream.error.note("partition \(plan.partition): \(warning)") }
    }
    guard yes || isAgreed() else { throw CommandFailure("nothing was changed; --yes does it without asking") }
    let name = Timestamp.systemNow().description.filter { $0.isNumber || $0 == "T" || $0 == "Z" }
    for plan in plans {
      let aside = try repair.apply(plan, name: name)
      StandardStream.error.note("partition \(plan.partition) is repaired; its originals are in \(aside)")
    }
    guard let identity = try stored.open().identity else { return }
    StandardStream.error.note(
      "the log is \(identity) from now on: what was computed from it before is put aside, and computed anew, with compute.accept_log=\(identity)"
    )
  }

  private func writeMeta(_ partitions: Int) throws {
    let data = try stored.configuration.load().settings.data
    let repair = try MetaRepair(directory: data)
    guard !repair.isWhole else {
      throw CommandFailure("--partitions: the log's meta file is whole, and says how many there are", exitCode: .usage)
    }
    StandardStream.error.note("a new meta file is to be written, for a log of \(partitions) partitions with a new identity")
    guard yes || isAgreed() else { throw CommandFailure("nothing was changed; --yes does it without asking") }
    StandardStream.error.note("the log is \(try repair.write(partitionCount: partitions)) from now on")
  }

  private func isAgreed() -> Bool {
    guard isatty(STDIN_FILENO) == 1 else { return false }
    FileHandle.standardError.write(Data("Do this? Type yes: ".utf8))
    return readLine() == "yes"
  }

  private func table(_ plans: [RepairPlan]) -> Table {
    var table = Table(
      [Table.Column("partition", isNumber: true)]
        + ["start_offset", "end_offset", "lost_from", "lost_to"].map { Table.Column($0, isNumber: true) }
        + [Table.Column("keep"), Table.Column("cut"), Table.Column("moved")])
    for plan in plans {
      table.append([
        .number(plan.partition.rawValue), .number(plan.startOffset), .number(plan.endOffset),
        .number(plan.lostOffsets.lowerBound),
        .number(plan.lostOffsets.upperBound), .string(plan.side.rawValue), .string(plan.copied.joined(separator: " ")),
        .string(plan.moved.joined(separator: " ")),
      ])
    }
    return table
  }
}
