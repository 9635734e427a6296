/// The name that `word` most likely meant, for "did you mean"; nil when none is near.
func nearestName(to word: String, among names: [String]) -> String? {
  // Long words are no slips of the finger, and the table below is quadratic.
  guard word.utf8.count <= 64 else { return nil }
  var best: (name: String, distance: Int)?
  for name in names {
    let distance = editDistance(Array(word.lowercased().utf8), Array(name.lowercased().utf8))
    if distance < best?.distance ?? .max { best = (name, distance) }
  }
  guard let best, best.distance <= max(1, min(word.utf8.count, best.name.utf8.count) / 3) else { return nil }
  return best.name
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
/// Source: the optimal string alignment distance, F. Damerau 1964, R. Wagner and M. Fischer 1974.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var before: [Int] = []
  var above = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var row = [i + 1]
    for (j, y) in b.enumerated() {
      var cost = min(above[j + 1] + 1, row[j] + 1, above[j] + (x == y ? 0 : 1))
      if i > 0, j > 0, x == b[j - 1], a[i - 1] == y { cost = min(cost, before[j - 1] + 1) }
      row.append(cost)
    }
    before = above
    above = row
  }
  return above[b.count]
}
