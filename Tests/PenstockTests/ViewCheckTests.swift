import Testing

@testable import Penstock

@Suite struct ViewCheckTests {
  @Test("the views in config/ are right, and listed with window and columns")
  func shipped() throws {
    guard case .success(let yaml) = readText(repositoryRoot + "/config/views.yaml", bytesMax: 1 << 20) else {
      Issue.record("config/views.yaml cannot be read")
      return
    }
    let views = try checkedViews(yaml: yaml, file: "views.yaml")
    #expect(views.map(\.name) == ["station_daily", "activity"])
    #expect(views.first?.window == "tumble 1d")
    #expect(views.first?.columns.starts(with: ["source:string", "observations:int64", "temp_avg:double"]) == true)
  }

  @Test("what is wrong is told with file and line, all at once, as an error of usage")
  func wrong() throws {
    let yaml = """
      views:
        a:
          window: { tumble: soon }
          aggregates: { n: count() }
        b:
          window: { tumble: 1m }
          aggregates: { n: counts() }
      """
    let error = #expect(throws: CommandFailure.self) { try checkedViews(yaml: yaml, file: "f.yaml") }
    #expect(error?.exitCode == .usage)
    #expect(error?.message.contains("f.yaml:3:") == true)
    #expect(error?.message.contains("f.yaml:7:") == true)
  }
}
