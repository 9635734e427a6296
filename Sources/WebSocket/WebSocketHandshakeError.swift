/// Why an opening handshake failed.
public enum WebSocketHandshakeError: Error, Equatable, Sendable {
  // Found by a server in the request.
  case methodNotGet
  case versionNotHTTP11
  case upgradeMissing
  case connectionMissing
  case keyInvalid
  /// Not version 13: answered by 426 and the version we speak.
  case versionUnsupported

  // Found by a client in the response.
  /// Any status but 101: 401, 404, 503, …
  case status(UInt)
  case responseHeaders
  case acceptKey
  /// A subprotocol that was not asked for, or none of those asked for where one is needed.
  case subprotocol
  /// An extension, or a parameter of one, that was not offered.
  case extensions
}
