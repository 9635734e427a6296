import Events
import NIOCore
import NIOHTTP1
import Serving

/// The identity of a connection's peer, once it is known. Belongs to the connection's loop.
final class DeviceAdmission {
  /// Nil where access is open.
  private(set) var caller: Caller?
  /// Counts the device's WebSocket until `leave`.
  private(set) var meter: DeviceMeter?
  private var authorization: [String] = []

  /// Admits a device's WebSocket.
  func admit(_ head: HTTPRequestHead, _ ingest: IngestLoop, sources: [String]) throws(HTTPProblem) {
    guard let caller = try DeviceAdmission.caller(head, ingest, for: .ingest) else { return }
    // The welcome tells a source's position, so only to a caller that may write as it.
    guard let foreign = sources.first(where: { !caller.sources.permits($0) }) else {
      guard let meter = ingest.limits.connect(caller, now: NIODeadline.now().uptimeNanoseconds) else {
        throw HTTPProblem(
          status: 429, code: "too_many_connections",
          detail:
            "this device has \(ingest.configuration.deviceConnectionsMax) connections already (ingest.device_connections_max)",
          headers: ["Retry-After": "5"])
      }
      self.caller = caller
      self.meter = meter
      authorization = head.headers["authorization"]
      return
    }
    throw HTTPProblem(
      status: 403, code: "forbidden_source", detail: "the token does not let its holder write as '\(foreign.prefix(200))'")
  }

  /// The reason why the connection may not go on: its token has expired, or was revoked meanwhile. Nil when it may.
  func denial(_ ingest: IngestLoop) -> AccessDenial? {
    guard caller != nil else { return nil }
    do throws(AccessDenial) {
      _ = try ingest.gate.admit(authorization: authorization, for: .ingest)
      return nil
    } catch {
      return error
    }
  }

  /// To be called when the connection is gone.
  func leave(_ ingest: IngestLoop) {
    if let meter { ingest.limits.disconnect(meter) }
    meter = nil
  }

  /// The sender of a request; nil where access is open.
  static func caller(_ head: HTTPRequestHead, _ ingest: IngestLoop, for scope: AccessScope) throws(HTTPProblem) -> Caller? {
    do throws(AccessDenial) {
      return try ingest.gate.admit(authorization: head.headers["authorization"], for: scope)
    } catch {
      throw error.problem
    }
  }
}
