import Foundation

/// The text of a change of the overview: a page for a terminal, a line for a file.
struct OverviewText: Sendable {
  enum Style: Hashable, Sendable {
    case plain, heading, good, bad, dim
  }

  struct Line: Hashable, Sendable {
    var text: String
    var style = Style.plain

    /// The line cut to the terminal's width; control characters, which a source's name may hold, are shown as U+FFFD.
    func rendered(columns: Int, color: Bool) -> String {
      let cut = String(
        String.UnicodeScalarView(
          text.prefix(max(columns, 1)).unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
      guard color else { return cut }
      switch style {
      case .plain: return cut
      case .heading: return "\u{1B}[1m\(cut)\u{1B}[0m"
      case .good: return "\u{1B}[32m\(cut)\u{1B}[0m"
      case .bad: return "\u{1B}[31m\(cut)\u{1B}[0m"
      case .dim: return "\u{1B}[2m\(cut)\u{1B}[0m"
      }
    }
  }

  let change: OverviewChange
  private var sample: OverviewSample { change.sample }

  init(_ change: OverviewChange) { self.change = change }

  /// - Parameters:
  ///   - title: The first line's text: the address that was asked.
  ///   - problem: The reason why the sample is old.
  ///   - rows: The most lines; the last line says how much does not fit.
  func page(title: String, problem: String? = nil, rows: Int = .max) -> [Line] {
    var lines = [Line(text: "penstock top  \(title)  \(sample.time)", style: .heading)]
    if let problem { lines.append(Line(text: problem, style: .bad)) }
    lines += totals + [Line(text: "")] + views + replays + [Line(text: "")] + partitions
    guard lines.count > rows else { return lines }
    let kept = lines.prefix(max(rows - 1, 0))
    return kept + [Line(text: "… \(lines.count - kept.count) more lines: a taller terminal shows them", style: .dim)]
  }

  private var totals: [Line] {
    guard sample.knowsIngest else {
      return [
        Line(text: "no ingest process has told the log of its devices: ask its /metrics", style: .dim),
        Line(text: "late \(grouped(sample.late))  amended \(grouped(sample.amended))"),
        sample.addsUp ? Line(text: "the ledger adds up", style: .good) : Line(text: "the ledger does not add up", style: .bad),
      ]
    }
    var lines = [
      Line(
        text: "events in \(perSecond(change.rate(\.received)))  appended \(perSecond(change.rate(\.appended)))"
          + "  acks p99 \(ackText)  devices \(grouped(sample.connections))"),
      Line(
        text:
          "received \(grouped(sample.received))  appended \(grouped(sample.appended))  duplicates \(grouped(sample.duplicates))"
          + "  rejected \(grouped(sample.rejected))  late \(grouped(sample.late))  amended \(grouped(sample.amended))"),
    ]
    if !sample.rejects.isEmpty {
      lines.append(
        Line(text: "rejected: " + sample.rejects.map { "\($0.code) \(grouped($0.count))" }.joined(separator: "  "), style: .bad))
    }
    if sample.suspects > 0 {
      lines.append(
        Line(text: "duplicates that may be none: \(grouped(sample.suspects))  \(first(sample.suspectSources))", style: .bad))
    }
    if sample.ahead > 0 {
      lines.append(Line(text: "ahead of the clock: \(grouped(sample.ahead))  \(first(sample.aheadSources))", style: .bad))
    }
    let flying = sample.inFlight > 0 ? ", \(grouped(sample.inFlight)) in flight" : ""
    lines.append(
      sample.addsUp
        ? Line(text: "the ledger adds up\(flying)", style: .good) : Line(text: "the ledger does not add up\(flying)", style: .bad)
    )
    return lines
  }

  /// The first three names, and whether there are more.
  private func first(_ sources: [String]) -> String {
    sources.prefix(3).joined(separator: "  ") + (sources.count > 3 ? "  …" : "")
  }

  private var views: [Line] {
    var table = Table([
      Table.Column("view"), Table.Column("generation", isNumber: true), Table.Column("counted/s", isNumber: true),
      Table.Column("applied", isNumber: true), Table.Column("amended", isNumber: true), Table.Column("filtered", isNumber: true),
      Table.Column("late", isNumber: true), Table.Column("pending", isNumber: true), Table.Column(""),
    ])
    for view in sample.views {
      table.append(
        [
          view.name, "\(view.generation)", count(change.rate(of: view)), grouped(view.applied), grouped(view.amended),
          grouped(view.filtered), grouped(view.late), grouped(view.pending),
          view.addsUp ? "" : view.gone > 0 ? "\(grouped(view.gone)) gone by retention" : "does not add up",
        ].map { .string($0) })
    }
    return lines(of: table)
  }

  private var replays: [Line] {
    sample.replays.map { replay in
      let share = replay.total > 0 ? min(Double(replay.done) / Double(replay.total), 1) : 1
      let filled = Int(share * 20)
      var text = "  \(replay.view) generation \(replay.generation) \(replay.state)"
      if replay.state == "building" {
        text += "  [" + String(repeating: "#", count: filled) + String(repeating: "-", count: 20 - filled) + "]"
        text += "  \(Int(share * 100))%  \(grouped(replay.done)) of \(grouped(replay.total)) events"
        if let rate = replay.eventsPerSecond { text += "  \(count(rate))/s" }
        if let left = replay.secondsLeft { text += "  \(grouped(Int(left.rounded(.up)))) s left" }
      }
      if let problem = replay.problem { text += "  \(problem)" }
      return Line(text: text, style: replay.problem == nil ? .plain : .bad)
    }
  }

  private var partitions: [Line] {
    var table = Table([
      Table.Column("partition", isNumber: true), Table.Column("start", isNumber: true),
      Table.Column("high_watermark", isNumber: true),
      Table.Column("appended/s", isNumber: true), Table.Column("behind", isNumber: true), Table.Column("view"),
    ])
    for partition in sample.partitions {
      let lag = sample.lag(of: partition)
      table.append(
        [
          "\(partition.number)", grouped(partition.start), grouped(partition.highWatermark), count(change.rate(of: partition)),
          grouped(lag.events), partition.problem ?? lag.view ?? "",
        ].map { .string($0) })
    }
    return lines(of: table)
  }

  private func lines(of table: Table) -> [Line] {
    table.rendered().split(separator: "\n").enumerated().map { index, text in
      Line(text: String(text), style: index == 0 ? .heading : text.hasSuffix("does not add up") ? .bad : .plain)
    }
  }

  // MARK: A line each interval

  private static let lineColumns = [
    "time", "in/s", "appended/s", "duplicates", "rejected", "late", "ack_p99_s", "devices", "pending", "replays", "adds_up",
  ]

  /// The heading of the lines that `line` makes, with columns of the same width.
  static var lineHeading: String { aligned(lineColumns) }

  var line: String { OverviewText.aligned(cells) }

  static var csvHeading: String { lineColumns.joined(separator: ",") + "\r\n" }
  var csvRecord: String { cells.map(csvField).joined(separator: ",") + "\r\n" }

  private var cells: [String] {
    [
      sample.time, plain(change.rate(\.received)), plain(change.rate(\.appended)), "\(sample.duplicates)", "\(sample.rejected)",
      "\(sample.late)", change.ackP99.map { $0.isFinite ? "\($0)" : "inf" } ?? "", "\(sample.connections)",
      "\(sample.views.reduce(0) { $0 + $1.pending })", "\(sample.replays.count { $0.state == "building" })", "\(sample.addsUp)",
    ]
  }

  private static func aligned(_ cells: [String]) -> String {
    var out = ""
    for (index, cell) in cells.enumerated() {
      // A time takes up to 30 columns and stands left; the numbers stand right under their names.
      let width = index == 0 ? 30 : max(lineColumns[index].count, 10)
      let space = String(repeating: " ", count: max(0, width - cell.count))
      out += index == 0 ? cell + space : "  " + space + cell
    }
    return out
  }

  /// The overview as it came, with values computed from it: `rates`, `ack_p99_seconds` and `adds_up`.
  var json: RawJSON {
    guard case .object(let members) = sample.json else { return sample.json }
    func number(_ value: Double?) -> RawJSON { value.map { $0.isFinite ? .number("\($0)") : .null } ?? .null }
    return .object(
      members + [
        RawJSON.Member(
          name: "rates",
          value: .object([
            RawJSON.Member(name: "received", value: number(change.rate(\.received))),
            RawJSON.Member(name: "appended", value: number(change.rate(\.appended))),
            RawJSON.Member(name: "duplicates", value: number(change.rate(\.duplicates))),
            RawJSON.Member(name: "rejected", value: number(change.rate(\.rejected))),
            RawJSON.Member(name: "late", value: number(change.rate(\.late))),
          ])),
        RawJSON.Member(name: "ack_p99_seconds", value: number(change.ackP99)),
        RawJSON.Member(name: "adds_up", value: .bool(sample.addsUp)),
      ])
  }

  // MARK: Numbers

  private func count(_ rate: Double?) -> String { rate.map { grouped(Int($0.rounded())) } ?? "–" }
  private func perSecond(_ rate: Double?) -> String { "\(count(rate))/s" }
  private func plain(_ rate: Double?) -> String { rate.map { "\(Int($0.rounded()))" } ?? "" }

  private var ackText: String {
    guard let p99 = change.ackP99 else { return "–" }
    guard p99.isFinite else { return "above the last bucket" }
    return p99 < 1 ? "≤ \((p99 * 1_000_000).rounded() / 1000) ms" : "≤ \(p99) s"
  }
}
