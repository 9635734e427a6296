import Synchronization

/// The bound of answers that hold a moment of a view at a time: each keeps a copy of the rows in memory, and its worker's
/// write-ahead log from being tidied up.
final class ExportSlots: Sendable {
  private struct State {
    var open = 0
    var next = 0
    /// In the order in which they came.
    var waiting: [(number: Int, continuation: CheckedContinuation<Bool, Never>)] = []
  }

  private let exportsMax: Int
  private let state = Mutex(State())

  init(exportsMax: Int) { self.exportsMax = exportsMax }

  var openCount: Int { state.withLock { $0.open } }

  /// A permit, given back with the returned value.
  /// - Parameter timeout: How long to wait for a permit.
  func open(within timeout: Duration) async throws(QueryFailure) -> ExportSlot {
    let number = state.withLock { state in
      state.next += 1
      return state.next
    }
    let timer = Task { [weak self] in
      try? await Task.sleep(for: timeout)
      self?.giveUp(number)
    }
    let hasPlace = await withCheckedContinuation { continuation in
      let isFree = state.withLock { state in
        guard state.open < exportsMax else {
          state.waiting.append((number, continuation))
          return false
        }
        state.open += 1
        return true
      }
      if isFree { continuation.resume(returning: true) }
    }
    timer.cancel()
    guard hasPlace else {
      throw QueryFailure(
        503, "busy", "\(exportsMax) answers of all rows are being read, which is the most there may be; try again",
        headers: ["Retry-After": "5"])
    }
    return ExportSlot(self)
  }

  private func giveUp(_ number: Int) {
    let waiting = state.withLock { state in
      state.waiting.firstIndex { $0.number == number }.map { state.waiting.remove(at: $0).continuation }
    }
    waiting?.resume(returning: false)
  }

  fileprivate func close() {
    let next = state.withLock { state -> CheckedContinuation<Bool, Never>? in
      // The permit passes to the next waiting answer.
      guard state.waiting.isEmpty else { return state.waiting.removeFirst().continuation }
      state.open -= 1
      return nil
    }
    next?.resume(returning: true)
  }
}

final class ExportSlot: Sendable {
  private let slots: ExportSlots

  fileprivate init(_ slots: ExportSlots) { self.slots = slots }

  deinit { slots.close() }
}
