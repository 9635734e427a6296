/// The instances of a service that are worth dialling: their checks pass, or did until just now.
///
/// A check that fails once says little: the agent was halted and no sign of life came through, or the machine was busy. Dialling
/// an instance that is really gone costs only a refusal. A deregistered instance is left out at once.
struct ListedInstances {
  static let grace = Duration.seconds(2)

  private var entries: [ConnectHealthEntry] = []
  private var passedAt: [String: ContinuousClock.Instant] = [:]
  /// In the order of ids.
  private(set) var instances: [MeshInstance] = []
  /// Whether some listed instances do not pass.
  private(set) var hasFailing = false

  mutating func take(_ entries: [ConnectHealthEntry], at now: ContinuousClock.Instant) {
    // An instance that passed by the list before did so until now.
    for entry in self.entries where entry.isPassing { passedAt[MeshInstance(entry).id] = now }
    self.entries = entries
    expire(at: now)
  }

  mutating func expire(at now: ContinuousClock.Instant) {
    var listed: [MeshInstance] = []
    hasFailing = false
    var known: [String: ContinuousClock.Instant] = [:]
    for entry in entries {
      let instance = MeshInstance(entry)
      known[instance.id] = passedAt[instance.id]
      if entry.isPassing {
        listed.append(instance)
      } else if let passed = passedAt[instance.id], now - passed < ListedInstances.grace {
        listed.append(instance)
        hasFailing = true
      }
    }
    passedAt = known
    instances = listed.sorted { $0.id < $1.id }
  }
}
