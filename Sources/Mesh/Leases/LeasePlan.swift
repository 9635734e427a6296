/// Which member should own which partitions, given the members and the present owners: a pure function, so that all who see the
/// same keys agree.
///
/// Every member gets a fair share (the quotient, or one more), and keeps its partitions up to that: only partitions that must
/// move, move.
struct LeasePlan: Equatable, Sendable {
  /// The member of every partition. Empty where there is no member.
  private(set) var owners: [Int: String] = [:]

  /// - Parameters:
  ///   - partitions: The number of partitions.
  ///   - members: The ids of the members; duplicates count once.
  ///   - current: The owner of each leased partition; an owner that is no member has lost it.
  init(partitions: Int, members: some Collection<String>, current: [Int: String]) {
    let members = Set(members)
    guard !members.isEmpty else { return }
    var held: [String: [Int]] = Dictionary(uniqueKeysWithValues: members.map { ($0, []) })
    var free: [Int] = []
    for partition in 0..<partitions {
      if let owner = current[partition], members.contains(owner) {
        held[owner]?.append(partition)
      } else {
        free.append(partition)
      }
    }
    // Workers that hold most get the larger shares: fewer moves. Ids settle the rest.
    let ranked = held.keys.sorted {
      let (a, b) = (held[$0]!.count, held[$1]!.count)
      return a == b ? $0 < $1 : a > b
    }
    let (share, extra) = partitions.quotientAndRemainder(dividingBy: members.count)
    for (rank, member) in ranked.enumerated() {
      let target = share + (rank < extra ? 1 : 0)
      let has = held[member]!
      for partition in has.prefix(target) { owners[partition] = member }
      free += has.dropFirst(target)
    }
    var next = free.sorted()[...]
    for (rank, member) in ranked.enumerated() {
      let missing = share + (rank < extra ? 1 : 0) - held[member]!.count
      for partition in next.prefix(max(0, missing)) { owners[partition] = member }
      next = next.dropFirst(max(0, missing))
    }
  }

  func partitions(of member: String) -> Set<Int> { Set(owners.filter { $0.value == member }.keys) }
}
