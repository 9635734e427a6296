/// Why an opening handshake failed.
public enum WebSocketHandshakeError: Error, Equatable, Sendable {
  // A server finds these in the request.
  case methodNotGet
  case versionNotHTTP11
  case upgradeMissing
  case connectionMissing
  case keyInvalid
  /// Not version 13: answered by 426 and the version we speak.
  case versionUnsupported

  // A client finds these in the response. Any status but 101: 401, 404, 503, …
  case status(UInt)
  case responseHeaders
  case acceptKey
  /// The server chose a subprotocol that was not asked for, or none where one is needed.
  case subprotocol
  /// The server chose an extension, or a parameter, that was not offered.
  case extensions
}
