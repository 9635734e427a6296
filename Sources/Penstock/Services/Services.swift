import Compute
import Logging
import Metrics
import ServiceLifecycle
import UnixSignals
import Views

enum Services {
  /// Runs all four services in this process until SIGTERM or SIGINT, then drains them.
  static func up(_ settings: Settings) async throws {
    let catalog = try readViews(settings.views)
    let logger = Logger(label: "penstock")
    let service = EmbeddedRun(settings: settings, catalog: catalog, registry: bootstrapMetrics(), logger: logger)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [service], gracefulShutdownSignals: [.sigterm, .sigint], logger: lifecycleLogger()))
    try await group.run()
  }

  /// The process's metrics, which all modules count into from here on.
  static func bootstrapMetrics() -> PrometheusRegistry {
    let registry = PrometheusRegistry()
    MetricsSystem.bootstrap(registry)
    return registry
  }

  /// The lifecycle's own steps are of interest when something hangs, not each time.
  static func lifecycleLogger() -> Logger {
    var logger = Logger(label: "penstock.lifecycle")
    logger.logLevel = .warning
    return logger
  }
}

/// `penstock up` as a service of its own: starts, waits for the signal, drains.
private struct EmbeddedRun: Service {
  let settings: Settings
  let catalog: ViewCatalog
  let registry: PrometheusRegistry
  let logger: Logger

  func run() async throws {
    let services = try await EmbeddedServices.start(settings, catalog: catalog, registry: registry, logger: logger)
    let reload = Task { await services.compute.reloadOnHangup(settings.views, logger) }
    try await gracefulShutdown()
    reload.cancel()
    await services.shutDown()
  }
}

extension ComputeService {
  /// SIGHUP: the file of views is read again, until the task is cancelled. One that is wrong changes nothing.
  func reloadOnHangup(_ views: String, _ logger: Logger) async {
    for await _ in await UnixSignalsSequence(trapping: .sighup) {
      do {
        let applied = try await reload(try readViews(views))
        logger.notice(
          "views read again: \(applied.map { "\($0.view) generation \($0.generation) \($0.action.rawValue)" }.joined(separator: ", "))"
        )
      } catch {
        logger.error("the views stay as they are: \(error)")
      }
    }
  }
}
