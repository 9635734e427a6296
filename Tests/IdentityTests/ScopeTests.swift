import Testing

@testable import Identity

@Suite struct ScopeTests {
  @Test("scopes are spelled as tokens spell them")
  func spelling() {
    #expect(Scope.allCases.map(\.rawValue) == ["query", "admin"])
  }
}
