/// The values of a Prometheus exposition, by series: what is shown of modules that are not imported.
public struct MetricsText: Sendable {
  /// `name` → labels as written, without braces (empty for none) → value.
  private var series: [Substring: [Substring: Double]] = [:]

  /// - Parameter text: Format 0.0.4. Comments and lines that are no series are passed over.
  public init(_ text: String) {
    for line in text.split(separator: "\n") where line.first != "#" {
      guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else { continue }
      let head = line[..<space]
      let brace = head.firstIndex(of: "{") ?? head.endIndex
      let labels = brace == head.endIndex ? "" : head[head.index(after: brace)...].dropLast()
      series[head[..<brace], default: [:]][labels] = value
    }
  }

  /// Whether there is such a series at all.
  public func has(_ name: String) -> Bool { series[name[...]] != nil }

  /// The sum over all labels; 0 where there is none.
  public func total(_ name: String) -> Double { series[name[...]]?.values.reduce(0, +) ?? 0 }

  /// The values by one label, such as `code`.
  public func values(of name: String, by label: String) -> [(label: String, value: Double)] {
    let prefix = label + "=\""
    return (series[name[...]] ?? [:]).compactMap { labels, value in
      guard labels.hasPrefix(prefix), labels.hasSuffix("\"") else { return nil }
      return (String(labels.dropFirst(prefix.count).dropLast()), value)
    }.sorted { $0.label < $1.label }
  }

  /// A histogram's cumulative counts by upper bound, the last of them infinite.
  public func histogram(_ name: String) -> [(bound: Double, count: Double)] {
    (series[(name + "_bucket")[...]] ?? [:]).compactMap { labels, count in
      guard let start = labels.firstRange(of: "le=\"") else { return nil }
      let text = labels[start.upperBound...].prefix { $0 != "\"" }
      return (text == "+Inf" ? .infinity : Double(text)).map { ($0, count) }
    }.sorted { $0.bound < $1.bound }
  }
}
