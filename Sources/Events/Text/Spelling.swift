/// The name in `names` that `word` most likely meant, for "did you mean"; nil when none is near.
public func nearest(to word: String, among names: [String]) -> String? {
  // Long words are no typing errors, and the table below is quadratic.
  guard word.utf8.count <= 64 else { return nil }
  let distances = names.map { (name: $0, distance: editDistance(word.lowercased(), $0.lowercased())) }
  guard let best = distances.min(by: { $0.distance < $1.distance }) else { return nil }
  return best.distance <= max(1, min(word.count, best.name.count) / 3) ? best.name : nil
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
/// Source: the optimal string alignment distance, F. Damerau 1964, R. Wagner and M. Fischer 1974.
private func editDistance(_ a: String, _ b: String) -> Int {
  let a = Array(a.utf8)
  let b = Array(b.utf8)
  var before: [Int] = []
  var above = Array(0...b.count)
  for i in 1...max(a.count, 1) where i <= a.count {
    var row = [i]
    for j in 1...max(b.count, 1) where j <= b.count {
      var cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { cost = min(cost, before[j - 2] + 1) }
      row.append(cost)
    }
    before = above
    above = row
  }
  return above[b.count]
}
