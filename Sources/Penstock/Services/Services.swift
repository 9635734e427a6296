import Compute
import Logging
import Metrics
import UnixSignals
import Views

enum Services {
  /// Runs all four services in this process until SIGTERM or SIGINT, then drains them.
  static func up(_ settings: Settings) async throws {
    let catalog = try readViews(settings.views)
    let logger = Logger(label: "penstock")
    try await EmbeddedRun(settings: settings, catalog: catalog, registry: bootstrapMetrics(), logger: logger).run()
  }

  /// Makes the registry that all modules of the process count into from here on.
  static func bootstrapMetrics() -> PrometheusRegistry {
    let registry = PrometheusRegistry()
    for (name, help) in MetricCatalog.helps { registry.describe(name, help) }
    MetricsSystem.bootstrap(registry)
    return registry
  }
}

/// `penstock up`: starts, waits for the signal, drains.
private struct EmbeddedRun {
  let settings: Settings
  let catalog: ViewCatalog
  let registry: PrometheusRegistry
  let logger: Logger

  func run() async throws {
    let shutdown = await ShutdownSignal()
    let services = try await EmbeddedServices.start(settings, catalog: catalog, registry: registry, logger: logger)
    let reload = Task { await services.compute.generations.reloadOnHangup(settings.views, logger) }
    await shutdown.wait()
    reload.cancel()
    await services.shutDown()
  }
}

extension GenerationManager {
  /// Reads the file of views again at each SIGHUP, until the task is cancelled. A faulty file changes nothing.
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
