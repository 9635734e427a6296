/// A line on standard error that shows a command's progress. Drawn on a terminal only, and at most ten times a second.
struct ProgressBar {
  private static let redrawInterval = Duration.milliseconds(100)

  private let stream: StandardStream
  private let isDrawn: Bool
  private let label: String
  /// Nil where the total is not known, as with standard input.
  private let total: Int?
  private let unit: String
  private let start: ContinuousClock.Instant
  private var lastDrawn: ContinuousClock.Instant?

  /// - Parameters:
  ///   - total: The count at which `update` is done; nil where unknown.
  ///   - unit: The name of the counted things, as `events`.
  ///   - isDrawn: Nil draws on a terminal only.
  init(
    _ label: String, total: Int?, unit: String, stream: StandardStream = .error, isDrawn: Bool? = nil,
    start: ContinuousClock.Instant = .now
  ) {
    self.label = label
    self.total = total
    self.unit = unit
    self.stream = stream
    self.isDrawn = isDrawn ?? stream.isTerminal
    self.start = start
  }

  mutating func update(_ done: Int, at now: ContinuousClock.Instant = .now) {
    guard isDrawn, lastDrawn.map({ now - $0 >= Self.redrawInterval }) ?? true else { return }
    lastDrawn = now
    draw(done, at: now)
  }

  /// Draws the last state and clears the line for the output that follows.
  mutating func finish() {
    guard isDrawn, lastDrawn != nil else { return }
    write("\r\u{1B}[K")
  }

  private func draw(_ done: Int, at now: ContinuousClock.Instant) {
    write("\r\(line(done: done, elapsed: now - start, columns: stream.columns))\u{1B}[K")
  }

  private func write(_ text: String) {
    do { try stream.write(text) } catch {
      // Failing to draw progress is no reason to stop the work.
    }
  }

  /// `send  [########------------]  40%  10,446 of 26,115 events  52,230/s  0:03 left`, cut to `columns`.
  func line(done: Int, elapsed: Duration, columns: Int) -> String {
    let (seconds, attoseconds) = elapsed.components
    let elapsedSeconds = max(Double(seconds) + Double(attoseconds) / 1e18, 0.001)
    let rate = Double(done) / elapsedSeconds
    var text = label
    if let total, total > 0 {
      let fraction = min(Double(done) / Double(total), 1)
      let filled = Int(fraction * 20)
      text += "  [" + String(repeating: "#", count: filled) + String(repeating: "-", count: 20 - filled) + "]"
      text += "  \(Int(fraction * 100))%  \(grouped(done)) of \(grouped(total)) \(unit)"
      text += "  \(grouped(Int(rate)))/s"
      if rate > 0, done < total {
        let left = Int((Double(total - done) / rate).rounded(.up))
        text += "  \(left / 60):\(left % 60 < 10 ? "0" : "")\(left % 60) left"
      }
    } else {
      text += "  \(grouped(done)) \(unit)  \(grouped(Int(rate)))/s"
    }
    return String(text.prefix(max(columns - 1, 1)))
  }
}

/// `26115` as `26,115`.
func grouped(_ number: Int) -> String {
  let digits = Array(String(number.magnitude))
  var out = number < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index) % 3 == 0 { out += "," }
    out.append(digit)
  }
  return out
}
