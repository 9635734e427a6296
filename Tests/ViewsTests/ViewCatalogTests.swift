import Events
import Testing

@testable import Views

private func problems(_ yaml: String) -> [ViewProblem] {
  do throws(ViewCatalogError) {
    _ = try ViewCatalog(yaml: yaml, file: "views.yaml")
    return []
  } catch {
    return error.problems
  }
}

/// A right view, with lines of it replaced.
private func view(_ changes: KeyValuePairs<String, String> = [:], named name: String = "daily") -> String {
  var settings: [(String, String)] = [
    ("where", "data.temp != null"), ("key", "[source]"), ("window", "{ tumble: 1d }"), ("watermark_delay", "1h"),
    ("allowed_lateness", "1d"), ("retention", "400d"), ("aggregates", "{ n: count(), temp_avg: avg(data.temp) }"),
  ]
  for (key, value) in changes {
    settings.removeAll { $0.0 == key }
    if value != "-" { settings.append((key, value)) }
  }
  return "views:\n  \(name):\n" + settings.map { "    \($0.0): \($0.1)\n" }.joined()
}

@Test("a right file gives its views as written")
func rightFile() throws {
  let catalog = try ViewCatalog(yaml: view(["key": "{station: source, site: 'data[\"a b\"]'}"]), file: "views.yaml")
  let definition = try #require(catalog["daily"])
  #expect(definition.filter?.canonicalText == "data.temp != null")
  #expect(
    definition.keys == [KeyColumn(name: "station", path: .attribute("source")), KeyColumn(name: "site", path: .data(["a b"]))])
  #expect(definition.window == .tumble(size: 86_400_000_000_000))
  #expect(definition.watermarkDelay == 3_600_000_000_000)
  #expect(definition.allowedLateness == 86_400_000_000_000)
  #expect(definition.retention == Int64(34_560_000_000_000_000))
  #expect(definition.aggregates.map(\.canonicalText) == ["count()", "avg(data.temp)"])
  #expect(definition.arguments.map(\.canonicalText) == ["data.temp"])
  #expect(
    definition.schema.columns.map { "\($0.name) \($0.type) \($0.role)" } == [
      "window_start timestamp window", "window_end timestamp window", "final boolean window", "station string key",
      "site any key",
      "n int64 aggregate", "temp_avg double aggregate",
    ])
  #expect(catalog["hourly"] == nil)
}

@Test("a name alone is an extension attribute, of any type")
func extensionAttribute() throws {
  #expect(try ViewCatalog(yaml: view(["where": "temp > 1"]), file: "f").views[0].filter?.paths == [.attribute("temp")])
}

@Test("the least a view needs is a window and an aggregate")
func leastView() throws {
  let catalog = try ViewCatalog(yaml: "views:\n  v:\n    window: {tumble: 1s}\n    aggregates: {n: count()}\n", file: "f")
  #expect(catalog.views[0].keys == [])
  #expect(catalog.views[0].filter == nil)
  #expect(catalog.views[0].watermarkDelay == 0)
  #expect(catalog.views[0].retention == nil)
  #expect(try ViewCatalog(yaml: "views: {}", file: "f").views.isEmpty)
  #expect(try ViewCatalog(yaml: "views:\n", file: "f").views.isEmpty)
  #expect(try ViewCatalog(yaml: view(["retention": "null"]), file: "f").views[0].retention == nil)
}

@Test(
  "each mistake is found on its line, under its key, with what to do",
  arguments: [
    (["where": "type = \"x\""], 9, "where", "expected '=='"),
    (["where": "wind_gust > 1"], 9, "where", "did you mean data.wind_gust?"),
    (["where": "1 + 2"], 9, "where", "expected a condition"),
    (["where": "!has(data.x)"], 9, "where", "quotes around the whole"),
    (["where": "[1]"], 9, "where", "expected a condition"),
    (["where": "''"], 9, "where", "empty"),
    (["where": ""], 9, "where", "empty"),
    (["key": "source"], 9, "key", "expected a list"),
    (["key": "[source, source]"], 2, "key", "two columns are named 'source'"),
    (["key": "[data]"], 9, "key", "a key is a field"),
    (["key": "[data.a + 1]"], 9, "key", "a key is a field"),
    (["key": "[data.windDir]"], 9, "key", "write {winddir: data.windDir}"),
    (["key": "{Site: data.site}"], 9, "key", "no name for a key"),
    (["key": "{n: data.site}"], 2, "aggregates", "two columns are named 'n'"),
    (["key": "{final: data.site}"], 2, "key", "already"),
    (["key": "[a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r]"], 9, "key", "at most 16"),
    (["window": "-"], 2, "window", "missing"),
    (["window": "1d"], 9, "window", "expected the kind"),
    (["window": "{ tumbel: 1d }"], 9, "window", "did you mean tumble?"),
    (["window": "{ tumble: 1 day }"], 9, "window.tumble", "expected a duration"),
    (["window": "{ tumble: 1us }"], 9, "window.tumble", "out of bounds: 1ms to 3650d"),
    (["window": "{ tumble: 3651d }"], 9, "window.tumble", "out of bounds"),
    (["window": "{ tumble: 1d, hop: {size: 1h, every: 5m} }"], 9, "window", "one kind"),
    (["window": "{ hop: {size: 5m, every: 1h} }"], 9, "window.hop", "'every' is at most 'size'"),
    (["window": "{ hop: {size: 1h, every: 7ms} }"], 9, "window.hop", "too fine"),
    (["window": "{ hop: {size: 1h} }"], 9, "window.hop", "'every' is missing"),
    (["window": "{ session: {gap: 10} }"], 9, "window.session.gap", "expected a duration"),
    (["watermark_delay": "-1h"], 9, "watermark_delay", "expected a duration"),
    (["watermark_delay": "5"], 9, "watermark_delay", "expected a duration"),
    (["watermark": "sources"], 10, "watermark", "there is no 'sources': did you mean source?"),
    (["watermark": "everything"], 10, "watermark", "there is no 'everything': expected one of source, partition"),
    (["watermark": "[source]"], 10, "watermark", "expected one of source, partition"),
    (["allowed_lateness": "9999d"], 9, "allowed_lateness", "out of bounds"),
    (["retention": "1h"], 9, "retention", "shorter than the window"),
    (["aggregates": "-"], 2, "aggregates", "missing"),
    (["aggregates": "{}"], 9, "aggregates", "expected names"),
    (["aggregates": "[count()]"], 9, "aggregates", "expected names"),
    (["aggregates": "{ n: cuont() }"], 9, "aggregates.n", "did you mean count?"),
    (["aggregates": "{ n: frobnicate(data.x) }"], 9, "aggregates.n", "expected one of count, sum"),
    (["aggregates": "{ n: quantile(data.x) }"], 9, "aggregates.n", "which quantile"),
    (["aggregates": "{ n: 'quantile(data.x, 1.5)' }"], 9, "aggregates.n", "which quantile"),
    (["aggregates": "{ n: 'quantile(source, 0.5)' }"], 9, "aggregates.n", "takes a number"),
    (["aggregates": "{ n: sum() }"], 9, "aggregates.n", "needs to know of what"),
    (["aggregates": "{ n: sum }"], 9, "aggregates.n", "expected sum(…)"),
    (["aggregates": "{ n: sum(data.x) + 1 }"], 9, "aggregates.n", "expected sum(…)"),
    (["aggregates": "{ n: sum(source) }"], 9, "aggregates.n", "takes a number"),
    (["aggregates": "{ n: 'sum(data.x, 1)' }"], 9, "aggregates.n", "found ','"),
    (["aggregates": "{ n: }"], 9, "aggregates.n", "empty"),
    (["aggregates": "{ window_start: count() }"], 2, "aggregates", "already"),
    (["aggregates": "{ 9n: count() }"], 9, "aggregates", "no name for a column"),
    (["agregates": "{ n: count() }"], 10, nil, "did you mean aggregates?"),
    (["keys": "[source]"], 10, nil, "did you mean key?"),
  ] as [(KeyValuePairs<String, String>, Int, String?, String)])
func mistakes(changes: KeyValuePairs<String, String>, line: Int, key: String?, message: String) throws {
  let found = problems(view(changes))
  #expect(found.count == 1, "\(found)")
  let problem = try #require(found.first)
  #expect(problem.line == line, "\(problem)")
  #expect(problem.key == key, "\(problem)")
  #expect(problem.view == "daily")
  #expect(problem.message.contains(message), "\(problem)")
  #expect(problem.description.hasPrefix("views.yaml:\(line):"))
}

@Test(
  "files that are not views at all say so",
  arguments: [
    ("", "empty"), ("# nothing", "empty"), ("[]", "expected 'views:'"), ("view: {}", "did you mean views?"),
    ("views: 5", "below 'views:'"),
    ("views:\n  a: {window: {tumble: 1s}\n", "not YAML"), ("views:\n  v:\n    where: \"a\" == data.x\n", "needs quotes"),
    ("views:\n  v:\n    where: 1\n    where: 2\n", "given twice: where"), ("views:\n  Daily: {}\n", "no name for a view"),
    ("views:\n  v: 5\n", "expected settings"), ("views:\n  v:\n", "expected settings"), ("\u{0}", "not YAML"),
    ("views:\n" + (0..<65).map { "  v\($0): {window: {tumble: 1s}, aggregates: {n: count()}}\n" }.joined(), "at most 64"),
    (
      "views: {v: {window: {tumble: 1s}, aggregates: {" + (0..<65).map { "a\($0): count()" }.joined(separator: ", ") + "}}}",
      "at most 64"
    ),
    ("views:\n  \(String(repeating: "v", count: 64)): {}\n", "at most 63"), ("views: &a {v: *a}", "YAML"),
    ("#" + String(repeating: "x", count: 1 << 20), "at most 1MiB"),
  ])
func wrongFiles(yaml: String, message: String) {
  let found = problems(yaml)
  #expect(found.contains { $0.description.contains(message) }, "\(found)")
}

@Test("all mistakes of a file are reported at once, in the order of its lines")
func allAtOnce() {
  let found = problems(
    """
    views:
      a:
        where: 1 +
        window: { tumble: 0s }
        aggregates:
          n: cuont()
          m: sum(data.x
      b:
        window: { tumble: 1s }
        aggregates: { n: count() }
        colour: red
      C: {}
    extra: 1
    """)
  #expect(found.map(\.line) == [3, 4, 6, 7, 11, 12, 13])
  #expect(found.map(\.view) == ["a", "a", "a", "a", "b", nil, nil])
}

@Test("the generation's hash ignores comments, spaces, quotes and order of settings, and notices all that changes results")
func generationHash() throws {
  func hash(_ yaml: String) throws -> String { try ViewCatalog(yaml: yaml, file: "f").views[0].generationHash }
  let base = try hash(view())
  #expect(base.utf8.count == 32)
  // Fixed: a hash that differs between versions or machines would rebuild every view.
  #expect(base == "15918d60fda3b7d5d55857f5e7bb5260")
  // That of a definition from before there was a choice.
  #expect(try hash(view(["watermark": "partition"])) == "126941d2e02305e7dc132197a0b610e2")
  for same in [
    view(["where": "'( data.temp  !=  null )'  # why"]), view(["watermark_delay": "60m"]), view(["retention": "-"]),
    view(["aggregates": "{ n: 'count( )', temp_avg: avg( (data.temp) ) }"]), view(["key": "{source: source}"]),
    view(["window": "{tumble: 24h}"]),
  ] { #expect(try hash(same) == base, "\(same)") }
  let others = [
    view(["where": "data.temp == null"]), view(["where": "-"]), view(["key": "[type]"]), view(["key": "{s: source}"]),
    view(["key": "-"]),
    view(["key": "[source, type]"]), view(["key": "[type, source]"]), view(["window": "{tumble: 2d}"]),
    view(["watermark_delay": "2h"]),
    view(["allowed_lateness": "2d"]), view(["aggregates": "{ temp_avg: avg(data.temp), n: count() }"]),
    view(["aggregates": "{ n: count() }"]),
    view(["aggregates": "{ n: count(), temp_avg: avg(data.dewp) }"]),
    view(["aggregates": "{ n: count(), temp_avg: sum(data.temp) }"]),
    view(["aggregates": "{ n: count(), temp_mean: avg(data.temp) }"]), view(named: "weekly"),
  ]
  #expect(try Set(others.map(hash) + [base]).count == others.count + 1)
}

@Test("whose event times close windows goes through every form of a definition unchanged", arguments: WatermarkScope.allCases)
func watermarkScope(scope: WatermarkScope) throws {
  let read = try ViewCatalog(yaml: view(["watermark": scope.rawValue]), file: "f").views[0]
  #expect(read.watermark == scope)
  #expect(try ViewCatalog(yaml: read.yaml, file: "f").views == [read])
  #expect(try ViewCatalog(json: ["views": ["daily": read.settings]], file: "f").views == [read])
  #expect(try ViewDefinition(written: read.yaml, name: "daily", file: "f") == read)
  #expect(read.with(allowedLateness: 7).watermark == scope && read.with(retention: nil).watermark == scope)
  #expect(read.with(allowedLateness: read.allowedLateness).generationHash == read.generationHash)
}

@Test("a file that does not say whose event times close windows means each source's; an earlier record means the partition's")
func watermarkDefault() throws {
  #expect(try ViewCatalog(yaml: view(), file: "f").views[0].watermark == .source)
  let earlier = try ViewCatalog(yaml: view(["watermark": "partition"]), file: "f").views[0]
  let kept = earlier.yaml.split(separator: "\n").filter { !$0.hasPrefix("  watermark:") && !$0.hasPrefix("    watermark:") }
  let text = kept.joined(separator: "\n")
  #expect(text.contains("watermark_delay:") && !text.contains("watermark:"))
  let read = try ViewDefinition(written: text, name: "daily", file: "f")
  #expect(read == earlier && read.generationHash == "126941d2e02305e7dc132197a0b610e2")
  let json = #"{"views":{"daily":{"window":{"tumble":"1d"},"aggregates":{"n":"count()"}}}}"#
  #expect(try ViewCatalog(jsonText: json, file: "f", watermarkDefault: .partition).views[0].watermark == .partition)
  #expect(try ViewCatalog(jsonText: json, file: "f").views[0].watermark == .source)
}

@Test(
  "durations read and write",
  arguments: [
    ("500ms", 500_000_000), ("5s", 5_000_000_000), ("1h30m", 5_400_000_000_000), ("7d", 604_800_000_000_000), ("0s", 0),
    ("90m", 5_400_000_000_000),
    ("1d2h3m4s5ms6us7ns", 93_784_005_006_007), ("106751d", 9_223_286_400_000_000_000),
  ] as [(String, Int64)])
func durations(text: String, nanoseconds: Int64) throws {
  #expect(try DurationText.parse(text) == nanoseconds)
  #expect(try DurationText.parse(DurationText.text(nanoseconds)) == nanoseconds)
}

@Test(
  "what is no duration is refused",
  arguments: [
    "", "5", "s", "5 s", "-5s", "+5s", "1.5h", "5S", "1m1h", "1s1s", "106752d", "99999999999999999999s", "5ss", "1h30", "é", "٣s",
  ])
func noDurations(text: String) {
  #expect(throws: QuantityError.self) { try DurationText.parse(text) }
}

@Test("sizes read and write")
func sizes() throws {
  for (text, bytes) in [
    ("512B", 512), ("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30), ("1TiB", 1 << 40), ("1kB", 1000), ("5MB", 5_000_000),
    ("0B", 0),
  ] {
    #expect(try ByteSizeText.parse(text) == bytes)
    #expect(try ByteSizeText.parse(ByteSizeText.text(bytes)) == bytes)
  }
  for text in ["", "5", "KiB", "5 KiB", "-5B", "5kib", "1.5MiB", "9999999TiB", "99999999999999999999B", "٣B"] {
    #expect(throws: QuantityError.self, "\(text)") { try ByteSizeText.parse(text) }
  }
}

@Test("tumbling windows are half-open and epoch-aligned, before the epoch too")
func tumbling() {
  for (time, start) in [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10), (-11, -20)] as [(Int64, Int64)] {
    #expect(WindowDefinition.tumbleStart(of: time, size: 10) == start)
  }
  #expect(WindowDefinition.tumbleStart(of: .min, size: 10) == .min)
  #expect(WindowDefinition.end(of: .max - 5, size: 10) == .max)
}

@Test("the file that comes with the project is right")
func shippedFile() throws {
  let file = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/config/views.yaml"
  let catalog = try ViewCatalog(yaml: try text(ofFile: file), file: "config/views.yaml")
  #expect(catalog.views.map(\.name) == ["station_daily", "activity"])
  let daily = try #require(catalog["station_daily"])
  #expect(daily.aggregates.map(\.name) == ["observations", "temp_avg", "temp_min", "temp_max", "wind_max", "precip_total"])
  #expect(daily.layout.stride == 1 + 4 + 1 + 1 + 1 + 4)
}
