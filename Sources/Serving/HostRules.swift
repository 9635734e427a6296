import Events
import NIOHTTP1

/// The hosts that a service answers as, and the origins whose pages may ask it.
///
/// A browser lets any page send requests to servers of the user's machine, and by DNS rebinding even makes such a page
/// look like one of theirs. So a request's host has to be one of the service's own, and a page has to be the service's
/// own, or have an allowed origin. Other clients than browsers name no origin, and need none.
public struct HostRules: Sendable {
  /// The origin of a request that may be served.
  public enum Source: Sendable, Hashable {
    /// No page, or one of the service's own.
    case own
    /// A page of an allowed origin: the answer has to tell browsers so.
    case page(origin: String)
  }

  private let hosts: Set<HostName>
  private let origins: Set<WebOrigin>
  private let takesAnyAddress: Bool
  private let takesSingleLabels: Bool
  private let service: String

  /// - Parameters:
  ///   - service: The service's name in its settings, for messages: `query`.
  ///   - listen: The host that is listened on. `0.0.0.0` and `::` stand for every address; an address cannot be rebound.
  ///   - hosts: Further names; malformed ones are skipped.
  ///   - origins: The origins of pages that may ask.
  ///   - takesSingleLabels: Whether names without a dot are accepted, too: services within a cluster use them, and no public name
  ///     is one.
  public init(service: String, listen: String, hosts: [String] = [], origins: [String] = [], takesSingleLabels: Bool = false) {
    self.service = service
    self.hosts = Set(([listen] + hosts).compactMap { HostName(setting: $0) })
    self.origins = Set(origins.compactMap { WebOrigin($0) })
    takesAnyAddress = HostName(setting: listen)?.isEveryAddress ?? false
    self.takesSingleLabels = takesSingleLabels
  }

  /// Whether answers depend on the origin that asks.
  public var allowsOrigins: Bool { !origins.isEmpty }

  /// Whether a text is a host in the form of `hosts`.
  public static func isHost(_ text: String) -> Bool { HostName(setting: text) != nil }

  /// Checks the host and the origin of a request. A target in absolute form (RFC 9112, section 3.2.2) becomes a path,
  /// and its authority the `Host`.
  /// - Throws: 400 for a request that names no host, or several; 403 for a host or an origin that is not the service's.
  public func check(_ head: inout HTTPRequestHead) throws(HTTPProblem) -> Source {
    let authority = try HostRules.authority(of: &head)
    if let authority, !isOwn(authority.host) {
      throw HTTPProblem(
        status: 403, code: "host_forbidden",
        detail:
          "this server does not answer as the host that the request names: ask it by its address, or add the name to \(service).hosts"
      )
    }
    let origins = head.headers["origin"]
    guard let origin = origins.first else {
      guard HostRules.isOfAnotherPage(head) else { return .own }
      throw foreign("another site's page")
    }
    guard origins.count == 1, let parsed = WebOrigin(origin) else { throw foreign("'\(origin.prefix(200))'") }
    if self.origins.contains(parsed) { return .page(origin: origin) }
    if let authority, parsed.isOf(authority) { return .own }
    throw foreign("'\(origin.prefix(200))'")
  }

  private func isOwn(_ host: HostName) -> Bool {
    host.isLoopback || hosts.contains(host) || (takesAnyAddress && host.isAddress) || (takesSingleLabels && host.isSingleLabel)
  }

  private func foreign(_ page: String) -> HTTPProblem {
    HTTPProblem(
      status: 403, code: "origin_forbidden",
      detail: "a page of \(page) may not ask this server: where it should, add its origin to \(service).origins")
  }

  /// Requests for pictures, scripts and the like carry no origin; browsers name the page's site by Fetch Metadata.
  /// Following a link is allowed, since the linking page does not see the answer.
  private static func isOfAnotherPage(_ head: HTTPRequestHead) -> Bool {
    guard let site = head.headers.first(name: "sec-fetch-site"), site != "same-origin", site != "none" else { return false }
    let isLink =
      head.method == .GET && head.headers.first(name: "sec-fetch-mode") == "navigate"
      && head.headers.first(name: "sec-fetch-dest") == "document"
    return !isLink
  }

  /// - Returns: Nil only for HTTP/1.0, which need not name it.
  private static func authority(of head: inout HTTPRequestHead) throws(HTTPProblem) -> Authority? {
    let named = head.headers["host"]
    if named.isEmpty, (head.version.major, head.version.minor) < (1, 1) { return nil }
    guard named.count == 1 else {
      throw malformed("a request has one Host header, this one has \(named.count == 0 ? "none" : "\(named.count)")")
    }
    guard let target = absolute(head.uri) else {
      guard let authority = Authority(named[0]) else { throw malformed("the Host header names no host") }
      return authority
    }
    // RFC 9112, section 3.2.2: the target's authority counts, whatever the header says.
    guard let authority = Authority(target.authority) else { throw malformed("the request's target names no host") }
    head.uri = target.path
    head.headers.replaceOrAdd(name: "Host", value: String(target.authority))
    return authority
  }

  /// The parts of `http://host/path?query`; nil for a target in another form.
  private static func absolute(_ target: String) -> (authority: Substring, path: String)? {
    guard target.utf8.first != UInt8(ascii: "/") else { return nil }
    let scheme = target.prefix(8).lowercased()
    guard scheme.hasPrefix("http://") || scheme == "https://" else { return nil }
    let rest = target.dropFirst(scheme == "https://" ? 8 : 7)
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    let path = rest[end...]
    return (rest[..<end], path.first == "/" ? String(path) : "/" + path)
  }

  private static func malformed(_ detail: String) -> HTTPProblem {
    HTTPProblem(status: 400, code: "invalid_host", detail: detail)
  }
}
