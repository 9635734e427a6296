import Glibc

/// Mask keys for a client's frames, from the kernel's random source as RFC 6455, section 10.3, asks; one system call gives 64.
public struct WebSocketMaskKeys: Sendable {
  private var keys: [UInt32] = []

  public init() {}

  public mutating func next() -> UInt32 {
    if keys.isEmpty { refill() }
    return keys.removeLast()
  }

  private mutating func refill() {
    // getentropy gives at most 256 bytes.
    keys = Array(repeating: 0, count: 64)
    let status = keys.withUnsafeMutableBytes { getentropy($0.baseAddress, $0.count) }
    if status != 0 {
      // No such system call: the standard library's generator then reads /dev/urandom.
      var generator = SystemRandomNumberGenerator()
      for index in keys.indices { keys[index] = generator.next() }
    }
  }
}
