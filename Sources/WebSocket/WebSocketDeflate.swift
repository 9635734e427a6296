/// The settings of permessage-deflate (RFC 7692) that a server agrees to, or that a client offers.
public struct WebSocketDeflateSettings: Equatable, Sendable {
  /// Whether the server shall start each of its messages with an empty window: worse ratio, less memory.
  public var serverNoContextTakeover = false
  public var clientNoContextTakeover = false
  /// The largest window that each side sends with, as a power of two, 8 ... 15. Receiving costs the window plus 7 KiB,
  /// sending four windows plus 128 KiB, per connection, from the first compressed message on.
  public var serverMaxWindowBits = 15
  public var clientMaxWindowBits = 15
  /// zlib's compression level, 1 ... 9.
  public var level = 1
  /// Smaller messages are sent uncompressed.
  public var compressBytesMin = 128

  public init() {}
}

/// The parameters that both sides agreed on.
public struct WebSocketDeflateParameters: Equatable, Sendable {
  public var serverNoContextTakeover: Bool
  public var clientNoContextTakeover: Bool
  /// 8 ... 15.
  public var serverMaxWindowBits: Int
  public var clientMaxWindowBits: Int

  public init(
    serverNoContextTakeover: Bool = false, clientNoContextTakeover: Bool = false,
    serverMaxWindowBits: Int = 15, clientMaxWindowBits: Int = 15
  ) {
    precondition((8...15).contains(serverMaxWindowBits) && (8...15).contains(clientMaxWindowBits), "window bits out of 8 ... 15")
    self.serverNoContextTakeover = serverNoContextTakeover
    self.clientNoContextTakeover = clientNoContextTakeover
    self.serverMaxWindowBits = serverMaxWindowBits
    self.clientMaxWindowBits = clientMaxWindowBits
  }

  func windowBits(sentBy role: WebSocketRole) -> Int { role == .server ? serverMaxWindowBits : clientMaxWindowBits }
  func resets(sentBy role: WebSocketRole) -> Bool { role == .server ? serverNoContextTakeover : clientNoContextTakeover }
}

extension WebSocketDeflateSettings {
  static let name = "permessage-deflate"

  /// The server's side: takes the first offer that it can meet.
  ///
  /// - Parameter offers: The values of all `Sec-WebSocket-Extensions` fields of the request, in order.
  /// - Returns: The agreed parameters and the response's `Sec-WebSocket-Extensions`. Nil if no offer is acceptable: the
  ///   connection then goes uncompressed.
  public func accept(_ offers: [String]) -> (parameters: WebSocketDeflateParameters, response: String)? {
    guard let extensions = ExtensionList.parse(offers) else { return nil }
    for offer in extensions where offer.name == Self.name {
      if let accepted = accept(offer) { return accepted }
    }
    return nil
  }

  private func accept(_ offer: ExtensionList.Item) -> (parameters: WebSocketDeflateParameters, response: String)? {
    guard let terms = DeflateTerms(offer.parameters, isClientWindowValueNeeded: false) else { return nil }
    let agreed = WebSocketDeflateParameters(
      serverNoContextTakeover: terms.serverNoContextTakeover || serverNoContextTakeover,
      clientNoContextTakeover: terms.clientNoContextTakeover || clientNoContextTakeover,
      serverMaxWindowBits: min(terms.serverMaxWindowBits ?? 15, serverMaxWindowBits),
      // A client that doesn't name the parameter can't be told to use less.
      clientMaxWindowBits: terms.namesClientMaxWindowBits
        ? min(terms.clientMaxWindowBits ?? 15, clientMaxWindowBits) : 15)
    var response = Self.name
    if agreed.serverNoContextTakeover { response += "; server_no_context_takeover" }
    if agreed.clientNoContextTakeover { response += "; client_no_context_takeover" }
    if terms.serverMaxWindowBits != nil || agreed.serverMaxWindowBits < 15 {
      response += "; server_max_window_bits=\(agreed.serverMaxWindowBits)"
    }
    if terms.namesClientMaxWindowBits && agreed.clientMaxWindowBits < 15 {
      response += "; client_max_window_bits=\(agreed.clientMaxWindowBits)"
    }
    return (agreed, response)
  }

  /// The client's side: the one offer it makes, for `Sec-WebSocket-Extensions`.
  public var offer: String {
    var offer = Self.name
    if serverNoContextTakeover { offer += "; server_no_context_takeover" }
    if clientNoContextTakeover { offer += "; client_no_context_takeover" }
    if serverMaxWindowBits < 15 { offer += "; server_max_window_bits=\(serverMaxWindowBits)" }
    offer += "; client_max_window_bits"
    if clientMaxWindowBits < 15 { offer += "=\(clientMaxWindowBits)" }
    return offer
  }

  /// The client's side: reads the server's answer to `offer`.
  ///
  /// - Parameter responses: The values of all `Sec-WebSocket-Extensions` fields of the response.
  /// - Returns: Nil if the server took no extension.
  /// - Throws: `.extensions` if the server answered something that was not offered, or in a way that RFC 7692 forbids.
  public func agreed(_ responses: [String]) throws(WebSocketHandshakeError) -> WebSocketDeflateParameters? {
    guard let extensions = ExtensionList.parse(responses) else { throw .extensions }
    guard let response = extensions.first else { return nil }
    guard extensions.count == 1, response.name == Self.name,
      let terms = DeflateTerms(response.parameters, isClientWindowValueNeeded: true)
    else { throw .extensions }
    // An offer with one of these is accepted by repeating it (sections 7.1.1.1 and 7.1.2.1).
    if serverNoContextTakeover && !terms.serverNoContextTakeover { throw .extensions }
    if serverMaxWindowBits < 15 {
      guard let bits = terms.serverMaxWindowBits, bits <= serverMaxWindowBits else { throw .extensions }
    }
    return WebSocketDeflateParameters(
      serverNoContextTakeover: terms.serverNoContextTakeover,
      clientNoContextTakeover: terms.clientNoContextTakeover || clientNoContextTakeover,
      serverMaxWindowBits: terms.serverMaxWindowBits ?? 15,
      clientMaxWindowBits: min(terms.clientMaxWindowBits ?? 15, clientMaxWindowBits))
  }
}

/// The parameters of one permessage-deflate offer or response, as written.
private struct DeflateTerms {
  var serverNoContextTakeover = false
  var clientNoContextTakeover = false
  var serverMaxWindowBits: Int?
  var namesClientMaxWindowBits = false
  var clientMaxWindowBits: Int?

  /// Nil if a parameter is unknown, comes twice, or has a value it may not have.
  init?(_ parameters: [ExtensionList.Parameter], isClientWindowValueNeeded: Bool) {
    for parameter in parameters {
      switch parameter.name {
      case "server_no_context_takeover":
        guard !serverNoContextTakeover, parameter.value == nil else { return nil }
        serverNoContextTakeover = true
      case "client_no_context_takeover":
        guard !clientNoContextTakeover, parameter.value == nil else { return nil }
        clientNoContextTakeover = true
      case "server_max_window_bits":
        guard serverMaxWindowBits == nil, let bits = Self.windowBits(parameter.value) else { return nil }
        serverMaxWindowBits = bits
      case "client_max_window_bits":
        guard !namesClientMaxWindowBits else { return nil }
        namesClientMaxWindowBits = true
        if parameter.value != nil || isClientWindowValueNeeded {
          guard let bits = Self.windowBits(parameter.value) else { return nil }
          clientMaxWindowBits = bits
        }
      default:
        return nil
      }
    }
  }

  /// 8 ... 15, in decimal without a leading zero.
  private static func windowBits(_ value: String?) -> Int? {
    guard let value, let bits = Int(value), (8...15).contains(bits), value == String(bits) else { return nil }
    return bits
  }
}
