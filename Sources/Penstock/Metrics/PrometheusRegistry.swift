import Events
import Metrics
import Synchronization

/// Collects the process's metrics and writes them as Prometheus' text format 0.0.4.
///
/// Names are given with the prefix `penstock_` and base units: a counter's name ends in `_total`, a timer's in `_seconds`. One
/// name and one set of labels is one series, however often it is made. A new series beyond `seriesMax`, or a name used as two
/// kinds, is counted in `penstock_metrics_dropped_total` and not shown: an unbounded label must not take the memory.
final class PrometheusRegistry: MetricsFactory, Sendable {
  static let contentType = "text/plain; version=0.0.4; charset=utf-8"
  /// The most series over all names. A histogram counts as one.
  static let seriesMax = 10_000
  /// Bounds from 0.1 ms to 10 s: the range of acks and queries.
  static let secondsBounds: [Double] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]
  /// Bounds of counts and sizes: 1 to 16 Mi, by factors of four.
  static let amountBounds: [Double] = (0...12).map { Double(1 << (2 * $0)) }

  private enum Kind: String {
    case counter
    case gauge
    case histogram
  }

  private enum Series {
    case counter(CounterSeries)
    case gauge(GaugeSeries)
    case histogram(HistogramSeries)
  }

  private struct Family {
    var kind: Kind
    var help: String?
    /// The series by their labels' text, as `{view="daily"}`; empty without labels.
    var series: [String: Series] = [:]
  }

  private struct State {
    var families: [String: Family] = [:]
    var seriesCount = 0
    var helps: [String: String] = [:]
  }

  private let state = Mutex(State())
  private let seriesMax: Int
  private let dropped = Atomic<Int64>(0)

  init(seriesMax: Int = PrometheusRegistry.seriesMax) { self.seriesMax = seriesMax }

  /// Sets a metric's HELP text. Without one, HELP is the name in words.
  func describe(_ name: String, _ help: String) {
    state.withLock { $0.helps[sanitized(name)] = help }
  }

  // MARK: MetricsFactory

  func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    counter(label, dimensions)
  }

  func makeFloatingPointCounter(label: String, dimensions: [(String, String)]) -> any FloatingPointCounterHandler {
    counter(label, dimensions)
  }

  func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler { gauge(label, dimensions) }

  func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
    guard aggregate else { return gauge(label, dimensions) }
    return histogram(label, dimensions, label.hasSuffix("_seconds") ? Self.secondsBounds : Self.amountBounds)
  }

  func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    histogram(label, dimensions, Self.secondsBounds)
  }

  // A series stays once made, as Prometheus expects of a counter: a handle made anew goes on counting from the same total.
  func destroyCounter(_ handler: any CounterHandler) {}
  func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  func destroyMeter(_ handler: any MeterHandler) {}
  func destroyRecorder(_ handler: any RecorderHandler) {}
  func destroyTimer(_ handler: any TimerHandler) {}

  private func counter(_ label: String, _ dimensions: [(String, String)]) -> CounterSeries {
    let fresh = CounterSeries()
    guard case .counter(let series)? = series(label, dimensions, kind: .counter, fresh: .counter(fresh)) else { return fresh }
    return series
  }

  private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeSeries {
    let fresh = GaugeSeries()
    guard case .gauge(let series)? = series(label, dimensions, kind: .gauge, fresh: .gauge(fresh)) else { return fresh }
    return series
  }

  private func histogram(_ label: String, _ dimensions: [(String, String)], _ bounds: [Double]) -> HistogramSeries {
    let fresh = HistogramSeries(bounds: bounds)
    guard case .histogram(let series)? = series(label, dimensions, kind: .histogram, fresh: .histogram(fresh)) else {
      return fresh
    }
    return series
  }

  /// The existing series, or `fresh` once it is stored; nil where it may not be stored.
  private func series(
    _ label: String, _ dimensions: [(String, String)], kind: Kind, fresh: Series
  ) -> Series? {
    let name = sanitized(label)
    let labels = labelText(dimensions)
    return state.withLock { state in
      var family = state.families[name] ?? Family(kind: kind)
      guard family.kind == kind else {
        dropped.wrappingAdd(1, ordering: .relaxed)
        return nil
      }
      if let existing = family.series[labels] { return existing }
      guard state.seriesCount < seriesMax else {
        dropped.wrappingAdd(1, ordering: .relaxed)
        return nil
      }
      state.seriesCount += 1
      family.series[labels] = fresh
      state.families[name] = family
      return fresh
    }
  }

  // MARK: Values

  /// The sum over all labels of a counter or gauge; nil where there is none of that name.
  func total(_ name: String) -> Double? { state.withLock { $0.families[name]?.series.values.reduce(0) { $0 + value($1) } } }

  private func value(_ series: Series) -> Double {
    switch series {
    case .counter(let counter): counter.value
    case .gauge(let gauge): gauge.value
    case .histogram: 0
    }
  }

  /// The report of this process's ingest.
  func ingestReport(_ totals: ReceivedEventsCount, _ suspects: SuspectSources, _ ahead: AheadEventSources) -> IngestReport {
    let (rejects, acks) = state.withLock { state in
      (state.families["penstock_ingest_events_rejected_total"]?.series, state.families["penstock_ingest_ack_seconds"]?.series)
    }
    var report = IngestReport(
      totals.current, suspects: suspects, ahead: ahead, connections: Int(total("penstock_ingest_connections") ?? 0))
    for code in RejectCode.allCases {
      if let series = rejects?[labelText([("code", code.rawValue)])] { report.rejects[code] = Int(value(series)) }
    }
    if case .histogram(let histogram)? = acks?[""] {
      var count = 0
      report.acks = zip(histogram.bounds + [.infinity], histogram.snapshot.counts).map { bound, more in
        count += Int(more)
        return IngestReport.AckBucket(bound: bound, count: count)
      }
    }
    return report
  }

  // MARK: Exposition

  /// All series and the process's own, families in the order of their names.
  func exposition() -> String {
    var out = ""
    state.withLock { state in
      for (name, family) in state.families.sorted(by: { $0.key < $1.key }) {
        write(name, family, help: state.helps[name], to: &out)
      }
    }
    writeSimple(
      "penstock_metrics_dropped_total", .counter, "Series not kept: too many, or one name used as two kinds.",
      "\(dropped.load(ordering: .relaxed))", to: &out)
    out += "# HELP penstock_build_info The version that runs; always 1.\n# TYPE penstock_build_info gauge\n"
    out += "penstock_build_info\(labelText([("version", penstockVersion)])) 1\n"
    for sample in ProcessMetrics.read() {
      writeSimple(sample.name, sample.isCounter ? .counter : .gauge, sample.help, prometheusNumber(sample.value), to: &out)
    }
    return out
  }

  private func writeSimple(_ name: String, _ kind: Kind, _ help: String, _ value: String, to out: inout String) {
    out += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n\(name) \(value)\n"
  }

  private func write(_ name: String, _ family: Family, help: String?, to out: inout String) {
    out += "# HELP \(name) \(escapedHelp(help ?? words(of: name)))\n# TYPE \(name) \(family.kind.rawValue)\n"
    for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
      switch series {
      case .counter(let counter): out += "\(name)\(labels) \(counter.text)\n"
      case .gauge(let gauge): out += "\(name)\(labels) \(prometheusNumber(gauge.value))\n"
      case .histogram(let histogram):
        let snapshot = histogram.snapshot
        var count: UInt64 = 0
        for (index, bound) in histogram.bounds.enumerated() {
          count += snapshot.counts[index]
          out += "\(name)_bucket\(adding("le", "\(prometheusNumber(bound))", to: labels)) \(count)\n"
        }
        count += snapshot.counts[histogram.bounds.count]
        out += "\(name)_bucket\(adding("le", "+Inf", to: labels)) \(count)\n"
        out += "\(name)_sum\(labels) \(prometheusNumber(snapshot.sum))\n\(name)_count\(labels) \(count)\n"
      }
    }
  }

  private func words(of name: String) -> String {
    let bare = name.hasPrefix("penstock_") ? name.dropFirst("penstock_".count) : name[...]
    return bare.replacing("_", with: " ") + "."
  }
}

/// A name of the form `[a-zA-Z_:][a-zA-Z0-9_:]*`; any other character becomes an underscore.
private func sanitized(_ name: String) -> String {
  var out = ""
  for scalar in name.unicodeScalars {
    let isLetter = ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_" || scalar == ":"
    let isDigit = ("0"..."9").contains(scalar) && !out.isEmpty
    out.unicodeScalars.append(isLetter || isDigit ? scalar : "_")
  }
  return out
}

/// `{a="1",b="2"}` in the order of the names; empty without labels.
private func labelText(_ dimensions: [(String, String)]) -> String {
  guard !dimensions.isEmpty else { return "" }
  let labels = dimensions.sorted { $0.0 < $1.0 }
    .map { "\(sanitized($0.0).replacing(":", with: "_"))=\"\(escapedLabel($0.1))\"" }
  return "{" + labels.joined(separator: ",") + "}"
}

private func adding(_ name: String, _ value: String, to labels: String) -> String {
  labels.isEmpty ? "{\(name)=\"\(value)\"}" : labels.dropLast() + ",\(name)=\"\(value)\"}"
}

private func escapedHelp(_ text: String) -> String {
  text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
}

private func escapedLabel(_ text: String) -> String { escapedHelp(text).replacing("\"", with: "\\\"") }
