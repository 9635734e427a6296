import Events
import Metrics
import Testing

@testable import Penstock

@Suite struct MetricsTests {
  private func lines(_ registry: PrometheusRegistry, _ prefix: String) -> [String] {
    registry.exposition().split(separator: "\n").map(String.init).filter { $0.contains(prefix) }
  }

  @Test("a counter shows its help, its type, and a line for each set of labels")
  func counter() {
    let registry = PrometheusRegistry()
    registry.describe("penstock_log_events_total", "Events appended.")
    Counter(label: "penstock_log_events_total", dimensions: [("sync", "always")], factory: registry).increment(by: 3)
    Counter(label: "penstock_log_events_total", factory: registry).increment()
    Counter(label: "penstock_log_events_total", dimensions: [("sync", "always")], factory: registry).increment(by: 4)
    #expect(
      lines(registry, "penstock_log_events_total") == [
        "# HELP penstock_log_events_total Events appended.", "# TYPE penstock_log_events_total counter",
        "penstock_log_events_total 1", #"penstock_log_events_total{sync="always"} 7"#,
      ])
  }

  @Test("labels are one series whatever their order, and escaped")
  func labels() {
    let registry = PrometheusRegistry()
    Counter(label: "penstock_x_total", dimensions: [("b", "1"), ("a", "q\"\\\n")], factory: registry).increment()
    Counter(label: "penstock_x_total", dimensions: [("a", "q\"\\\n"), ("b", "1")], factory: registry).increment()
    #expect(lines(registry, "penstock_x_total{") == [#"penstock_x_total{a="q\"\\\n",b="1"} 2"#])
  }

  @Test("a timer is a histogram of seconds whose buckets accumulate")
  func timer() {
    let registry = PrometheusRegistry()
    let timer = Timer(label: "penstock_log_fsync_seconds", factory: registry)
    for nanoseconds: Int64 in [50_000, 100_000, 100_001, 3_000_000, 20_000_000_000] { timer.recordNanoseconds(nanoseconds) }
    let all = lines(registry, "penstock_log_fsync_seconds")
    #expect(all[0] == "# HELP penstock_log_fsync_seconds log fsync seconds.")
    #expect(all[1] == "# TYPE penstock_log_fsync_seconds histogram")
    #expect(all.contains(#"penstock_log_fsync_seconds_bucket{le="0.0001"} 2"#))
    #expect(all.contains(#"penstock_log_fsync_seconds_bucket{le="0.00025"} 3"#))
    #expect(all.contains(#"penstock_log_fsync_seconds_bucket{le="0.005"} 4"#))
    #expect(all.contains(#"penstock_log_fsync_seconds_bucket{le="10"} 4"#))
    #expect(all.contains(#"penstock_log_fsync_seconds_bucket{le="+Inf"} 5"#))
    #expect(all.contains("penstock_log_fsync_seconds_count 5"))
    let sum = all.first { $0.hasPrefix("penstock_log_fsync_seconds_sum ") }.flatMap { Double($0.dropFirst(31)) }
    #expect(abs((sum ?? 0) - 20.003250001) < 1e-9)
  }

  @Test("a recorder is a histogram of amounts, a gauge and a meter a value")
  func others() {
    let registry = PrometheusRegistry()
    Recorder(label: "penstock_batch_events", dimensions: [("p", "1")], factory: registry).record(Int64(5))
    Gauge(label: "penstock_lag_seconds", factory: registry).record(2.5)
    let meter = Meter(label: "penstock_connections", factory: registry)
    meter.increment(by: 3.0)
    meter.decrement(by: 1.0)
    FloatingPointCounter(label: "penstock_cpu_total", factory: registry).increment(by: 0.5)
    let all = lines(registry, "penstock_")
    #expect(all.contains(#"penstock_batch_events_bucket{p="1",le="4"} 0"#))
    #expect(all.contains(#"penstock_batch_events_bucket{p="1",le="16"} 1"#))
    #expect(all.contains(#"penstock_batch_events_sum{p="1"} 5"#))
    #expect(all.contains("penstock_lag_seconds 2.5"))
    #expect(all.contains("penstock_connections 2"))
    #expect(all.contains("penstock_cpu_total 0.5"))
  }

  @Test("what ingest tells of itself is taken from its series; a name that is not there has no total")
  func report() {
    let registry = PrometheusRegistry()
    Counter(label: "penstock_ingest_events_rejected_total", dimensions: [("code", "fenced")], factory: registry).increment(by: 3)
    Counter(label: "penstock_ingest_events_rejected_total", dimensions: [("code", "other")], factory: registry).increment(by: 2)
    Gauge(label: "penstock_ingest_connections", factory: registry).record(2)
    let acks = Timer(label: "penstock_ingest_ack_seconds", factory: registry)
    for nanoseconds: Int64 in [50_000, 200_000, 20_000_000_000] { acks.recordNanoseconds(nanoseconds) }
    let report = registry.ingestReport(ReceivedEventsCount(), SuspectSources(), AheadEventSources())
    #expect(report.connections == 2)
    #expect(report.rejects == [.fenced: 3])
    #expect(report.acks.map(\.bound) == PrometheusRegistry.secondsBounds + [.infinity])
    #expect(report.acks.map(\.count).prefix(2) == [1, 2] && report.acks.last?.count == 3)
    #expect(registry.total("penstock_ingest_events_rejected_total") == 5)
    #expect(registry.total("penstock_none") == nil)
  }

  @Test("series beyond the bound, and names used as two kinds, are counted and not kept")
  func bounded() {
    let registry = PrometheusRegistry(seriesMax: 3)
    for index in 0..<10 {
      Counter(label: "penstock_a_total", dimensions: [("n", "\(index)")], factory: registry).increment()
    }
    Gauge(label: "penstock_a_total", factory: registry).record(1)
    #expect(lines(registry, "penstock_a_total{").count == 3)
    #expect(lines(registry, "penstock_metrics_dropped_total").last == "penstock_metrics_dropped_total 8")
  }

  @Test("updates from many tasks are all counted")
  func concurrent() async {
    let registry = PrometheusRegistry()
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          let counter = Counter(label: "penstock_c_total", factory: registry)
          let timer = Timer(label: "penstock_c_seconds", factory: registry)
          let meter = Meter(label: "penstock_c", factory: registry)
          for _ in 0..<5000 {
            counter.increment()
            timer.recordNanoseconds(1_000_000)
            meter.increment(by: 1.0)
          }
        }
      }
    }
    let all = lines(registry, "penstock_c")
    #expect(all.contains("penstock_c_total 40000"))
    #expect(all.contains("penstock_c_seconds_count 40000"))
    #expect(all.contains("penstock_c 40000"))
  }

  @Test("every line of the exposition is of the text format, and each name's type is told once")
  func format() throws {
    let registry = PrometheusRegistry()
    Counter(label: "penstock a-b.total", dimensions: [("view name", "x")], factory: registry).increment()
    Timer(label: "penstock_t_seconds", factory: registry).recordNanoseconds(1)
    let text = registry.exposition()
    #expect(text.hasSuffix("\n"))
    #expect(text.contains(#"penstock_a_b_total{view_name="x"} 1"#))
    let label = #"[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*""#
    let sample = try Regex(#"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{\#(label)(,\#(label))*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$"#)
    var types: Set<String> = []
    for line in text.split(separator: "\n") {
      if line.hasPrefix("# TYPE ") {
        #expect(types.insert(String(line.split(separator: " ")[2])).inserted, "\(line) is told twice")
      } else if !line.hasPrefix("# HELP ") {
        #expect(line.wholeMatch(of: sample) != nil, "\(line)")
      }
    }
  }

  #if os(Linux)
    @Test("the process's own figures are there and plausible")
    func process() throws {
      let samples = Dictionary(uniqueKeysWithValues: ProcessMetrics.read().map { ($0.name, $0.value) })
      #expect((samples["penstock_process_resident_memory_bytes"] ?? -1) > 1_048_576)
      #expect((samples["penstock_process_open_fds"] ?? -1) >= 3)
      #expect((samples["penstock_process_cpu_seconds_total"] ?? -1) >= 0)
      #expect((samples["penstock_process_start_time_seconds"] ?? -1) > 1_500_000_000)
      #expect((samples["penstock_process_max_fds"] ?? -1) > 3)
    }
  #endif
}
