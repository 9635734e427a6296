import Events
import Testing

@Test("the nearest name is a near one")
func spelling() {
  let names = ["where", "key", "window", "aggregates"]
  #expect(nearest(to: "agregates", among: names) == "aggregates")
  #expect(nearest(to: "wehre", among: names) == "where")
  #expect(nearest(to: "keys", among: names) == "key")
  #expect(nearest(to: "colour", among: names) == nil)
  #expect(nearest(to: "", among: names) == nil)
  #expect(nearest(to: "x", among: []) == nil)
}
