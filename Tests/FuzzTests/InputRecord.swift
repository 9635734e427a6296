import Foundation

/// The input at hand, in a file that outlives the process: what is found in it after a trap is what caused it.
final class InputRecord {
  let path: String
  private let memory: UnsafeMutableRawPointer

  init?(_ target: String) {
    let folder = FileManager.default.temporaryDirectory.appending(path: "penstock-fuzz").path
    guard (try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)) != nil else { return nil }
    path = "\(folder)/\(target).input"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    guard ftruncate(descriptor, off_t(Mutator.bytesMax + 8)) == 0,
      let memory = mmap(nil, Mutator.bytesMax + 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
    else { return nil }
    self.memory = memory
  }

  deinit { munmap(memory, Mutator.bytesMax + 8) }

  /// The input of a run that did not come to its end; nil when there was none.
  var unfinished: [UInt8]? {
    let count = memory.load(as: Int.self)
    guard (1...Mutator.bytesMax).contains(count - 1) || count == 1 else { return nil }
    return Array(UnsafeRawBufferPointer(start: memory + 8, count: count - 1))
  }

  func begin(_ input: [UInt8]) {
    input.withUnsafeBytes { if let base = $0.baseAddress { (memory + 8).copyMemory(from: base, byteCount: $0.count) } }
    memory.storeBytes(of: input.count + 1, as: Int.self)
  }

  func end() { memory.storeBytes(of: 0, as: Int.self) }
}
