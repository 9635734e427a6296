import Events
import Views
import Logging
import Hummingbird
import NIOCore
public struct QueryConfiguration: Sendable { public init(host: String, port: Int) {} }
public final class QueryService: Sendable {
  public init(configuration: QueryConfiguration, store: any ViewStore, log: any EventLog, probe: ServiceProbe, group: any EventLoopGroup, logger: Logger) {}
  public func start() async throws -> (host: String, port: Int) { ("127.0.0.1", 0) }
  public func shutDown(timeout: Duration) async {}
}
