import Events

enum ServerMessage: Equatable {
  struct Welcome: Equatable {
    var heartbeatMilliseconds: Int?
    var messageBytesMax: Int?
    var unackedMessagesMax: Int?
    var resume: [UTF8Text: ResumePosition] = [:]
  }

  /// The totals since the connection opened.
  struct Ack: Equatable {
    var messages = 0
    var appended = 0
    var duplicates = 0
    var rejected = 0
    var offsets: [(partition: Int, next: Int64)] = []

    static func == (a: Self, b: Self) -> Bool {
      a.messages == b.messages && a.appended == b.appended && a.duplicates == b.duplicates && a.rejected == b.rejected
        && a.offsets.elementsEqual(b.offsets, by: ==)
    }
  }

  struct Reject: Equatable {
    var message = 0
    /// The event's number, from 0; nil where the whole message is bad.
    var event: Int?
    var code = ""
    var detail = ""
  }

  case welcome(Welcome)
  case ack(Ack)
  case reject(Reject)
  /// A kind that a later server may add.
  case other

  /// - Returns: Nil if the text is no message of the protocol.
  init?(_ text: UnsafeRawBufferPointer) {
    var kind = ""
    var welcome = Welcome(), ack = Ack(), reject = Reject()
    var walker = JSONWalker(text)
    let isWhole = walker.members { name, walker in
      switch name {
      case "kind": return walker.string { kind = $0 }
      case "heartbeat": return walker.string { welcome.heartbeatMilliseconds = ServerMessage.milliseconds($0) }
      case "limits":
        return walker.members { name, walker in
          switch name {
          case "message_bytes": walker.integer { welcome.messageBytesMax = $0 }
          case "unacked_messages": walker.integer { welcome.unackedMessagesMax = $0 }
          default: walker.skipValue()
          }
        }
      case "resume":
        return walker.members { source, walker in
          var position = ResumePosition()
          let isWhole = walker.members { name, walker in
            switch name {
            case "epoch": walker.unsigned { position.epoch = $0 }
            case "sequence": walker.unsigned { position.sequence = $0 }
            default: walker.skipValue()
            }
          }
          welcome.resume[UTF8Text(source)] = position
          return isWhole
        }
      case "messages": return walker.integer { ack.messages = $0 }
      case "appended": return walker.integer { ack.appended = $0 }
      case "duplicates": return walker.integer { ack.duplicates = $0 }
      case "rejected": return walker.integer { ack.rejected = $0 }
      case "offsets":
        return walker.members { name, walker in
          walker.integer { next in
            if let partition = Int(name) { ack.offsets.append((partition, Int64(next))) }
          }
        }
      case "message": return walker.integer { reject.message = $0 }
      case "event": return walker.integer { reject.event = $0 }
      case "code": return walker.string { reject.code = $0 }
      case "detail": return walker.string { reject.detail = $0 }
      default: return walker.skipValue()
      }
    }
    guard isWhole, walker.isAtEnd() else { return nil }
    switch kind {
    case "welcome": self = .welcome(welcome)
    case "ack": self = .ack(ack)
    case "reject": self = .reject(reject)
    default: self = .other
    }
  }

  /// The milliseconds of `500ms`, `30s`, `5m`, `1h`.
  private static func milliseconds(_ text: String) -> Int? {
    let digits = text.prefix { $0.isNumber }
    guard let number = Int(digits) else { return nil }
    switch text.dropFirst(digits.count) {
    case "ms": return number
    case "s": return number * 1000
    case "m": return number * 60_000
    case "h": return number * 3_600_000
    default: return nil
    }
  }
}

extension JSONWalker {
  /// Passes an object. `body` is called before each member's value and must pass the value.
  fileprivate mutating func members(_ body: (String, inout JSONWalker) -> Bool) -> Bool {
    guard take(0x7B) else { return false }
    if take(0x7D) { return true }
    repeat {
      guard let name = takeString(), take(0x3A), body(decode(name), &self) else { return false }
    } while take(0x2C)
    return take(0x7D)
  }

  /// Passes a value; `body` gets it if it is a string.
  fileprivate mutating func string(_ body: (String) -> Void) -> Bool {
    guard peek() == 0x22 else { return skipValue() }
    guard let text = takeString() else { return false }
    body(decode(text))
    return true
  }

  fileprivate mutating func unsigned(_ body: (UInt64) -> Void) -> Bool {
    guard let value = takeUnsigned() else { return false }
    if let value { body(value) }
    return true
  }

  fileprivate mutating func integer(_ body: (Int) -> Void) -> Bool {
    unsigned { body(Int(clamping: $0)) }
  }
}
