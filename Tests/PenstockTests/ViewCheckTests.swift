import Testing
import Views

@testable import Penstock

@Suite struct ViewCheckTests {
  @Test(
    "the views in config/ and those of the demo are right",
    arguments: ["config/views.yaml", "Sources/Penstock/Resources/demo-views.yaml"])
  func shipped(path: String) throws {
    let views = try readViews(repositoryRoot + "/" + path).views
    #expect(views.contains { $0.name == "station_daily" && $0.window.summary == "tumble 1d" })
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
    let error = #expect(throws: CommandFailure.self) { try readViews(yaml: yaml, file: "f.yaml") }
    #expect(error?.exitCode == .usage)
    #expect(error?.message.contains("f.yaml:3:") == true)
    #expect(error?.message.contains("f.yaml:7:") == true)
  }
}
