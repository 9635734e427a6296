import Testing

@testable import Wire

@Suite struct WireVersionTests {
  @Test("the wire protocol has a version")
  func version() {
    #expect(WireVersion.current > 0)
  }
}
