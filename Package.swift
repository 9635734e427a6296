// swift-tools-version: 6.2
import PackageDescription

// Who may import whom is held by Tests/PenstockTests/ImportTableTests.swift; keep the two in step.
let strict: [SwiftSetting] = [.enableUpcomingFeature("ExistentialAny")]
// The quick build of ops/common.sh leaves modules without optimisation, but for those that touch each event: the compiler takes
// the frontend's flag over the -Onone of the command line. Any other build has no unsafe flags, which a dependency may not have:
// docs/decisions/0058-build-time.md.
let perEvent: [SwiftSetting] =
  Context.environment["PENSTOCK_BUILD"] == "quick"
  ? strict + [.unsafeFlags(["-Xfrontend", "-O", "-Xfrontend", "-enable-default-cmo"])] : strict

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
// The packages for TLS and tokens take minutes to build, so they stand behind a trait: docs/decisions/0004-traits.md.
let secure = TargetDependencyCondition.when(traits: ["Secure"])
let wire = Target.Dependency.target(name: "Wire", condition: secure)
let mesh = Target.Dependency.target(name: "Mesh", condition: secure)
let identity = Target.Dependency.target(name: "Identity", condition: secure)
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl", condition: secure)
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates", condition: secure)
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto", condition: secure)

let package = Package(
  name: "penstock",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "penstock", targets: ["Penstock"]),
    .executable(name: "websocket-echo", targets: ["websocket-echo"]),
    .library(name: "PenstockClient", targets: ["PenstockClient"]),
    // Used by Benchmarks/. It stands here so that one build serves it and the executable it measures.
    .executable(name: "bench", targets: ["bench"]),
  ],
  traits: [
    .trait(name: "Secure", description: "TLS, tokens and the Consul Connect mesh. Without it the executable builds sooner."),
    .default(enabledTraits: ["Secure"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CEpoll"),
    .target(name: "CResources"),
    .target(name: "Resources", dependencies: ["CResources"], swiftSettings: strict),
    .target(name: "Events", dependencies: ["CZlib"], swiftSettings: perEvent),
    .target(name: "Expressions", dependencies: ["Events"], swiftSettings: perEvent),
    .target(name: "Aggregates", dependencies: ["Events", "Expressions"], swiftSettings: perEvent),
    .target(name: "Views", dependencies: ["Events", "Expressions", "Aggregates", yams], swiftSettings: strict),
    .target(name: "Producers", dependencies: ["Events"], swiftSettings: perEvent),
    .target(name: "Log", dependencies: ["Events", "Producers", logging, metrics], swiftSettings: strict),
    .target(name: "HTTPClient", dependencies: [nioCore, nioPosix, nioHTTP1], swiftSettings: strict),
    .target(name: "WebSocket", dependencies: ["CZlib", nioCore, nioHTTP1], swiftSettings: perEvent),
    .target(name: "Sockets", dependencies: ["CEpoll"], swiftSettings: perEvent),
    .target(
      name: "Ingest",
      dependencies: [
        "Events", "Serving", "WebSocket", "Sockets", "Resources", "CZlib", nioCore, nioPosix, nioHTTP1, logging, metrics,
      ],
      exclude: ["HTTP/ingest-openapi.json", "Connection/asyncapi.json"],
      swiftSettings: perEvent),
    .target(name: "SQLite", dependencies: ["CSQLite"], swiftSettings: strict),
    .target(
      name: "Compute",
      dependencies: ["Events", "Expressions", "Aggregates", "Views", "SQLite", logging, metrics],
      swiftSettings: strict),
    .target(name: "Serving", dependencies: ["Events", nioCore, nioPosix, nioHTTP1, metrics], swiftSettings: strict),
    .target(
      name: "Query",
      dependencies: [
        "Events", "Expressions", "Aggregates", "Views", "Serving", "Resources", "CSQLite", "CEpoll", nioCore, nioPosix, nioHTTP1,
        logging, metrics,
      ],
      exclude: ["Console/page", "HTTP/query-openapi.json"],
      swiftSettings: strict),
    .target(
      name: "PenstockClient", dependencies: ["Events", "WebSocket", "SQLite", "CZlib", nioCore, nioPosix, nioHTTP1, logging],
      swiftSettings: strict),
    .target(
      name: "Mesh", dependencies: ["HTTPClient", nioCore, nioPosix, nioTLS, nioHTTP1, nioSSL, x509, logging],
      swiftSettings: strict),
    .target(
      name: "Wire",
      dependencies: [
        "Events", "Expressions", "Aggregates", "Views", "Serving", "HTTPClient", "Resources", nioCore, nioPosix, nioHTTP1,
        logging, metrics,
      ],
      exclude: ["Log/log-openapi.json", "Views/compute-openapi.json"], swiftSettings: strict),
    .target(name: "Identity", dependencies: ["Events", "Serving", nioCore, nioSSL, crypto], swiftSettings: strict),
    .executableTarget(
      name: "Penstock",
      dependencies: [
        "Events", "Expressions", "Aggregates", "Views", "Log", "Serving", "Ingest", "Compute", "Query", "HTTPClient",
        "PenstockClient", wire, mesh, identity, "CZlib", "CEpoll", yams, logging, metrics, nioCore, nioPosix,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      resources: [.copy("Resources/weather-2013.ndjson.gz"), .copy("Resources/demo-views.yaml")],
      swiftSettings: strict),
    .executableTarget(
      name: "websocket-echo",
      dependencies: [
        "WebSocket", nioCore, nioPosix, nioHTTP1, .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "bench",
      dependencies: [
        "Events", "Expressions", "Aggregates", "Views", "Log", "Serving", "Ingest", "Compute", "PenstockClient", "CEpoll",
        nioCore,
        nioPosix, logging,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Benchmarks", swiftSettings: strict),
    .target(name: "TestSupport", dependencies: ["Events", "Aggregates"], path: "Tests/TestSupport", swiftSettings: strict),
    .target(
      name: "LogTestSupport", dependencies: ["Events", "Log", "Wire", "Serving", nioPosix, logging], path: "Tests/LogTestSupport",
      swiftSettings: strict),
    .testTarget(name: "EventsTests", dependencies: ["Events", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "WebSocketTests",
      dependencies: ["WebSocket", "TestSupport", "CZlib", .product(name: "NIOEmbedded", package: "swift-nio")],
      swiftSettings: strict),
    .testTarget(name: "ExpressionsTests", dependencies: ["Expressions", "Events", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "AggregatesTests", dependencies: ["Aggregates", "Expressions", "Events", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "ViewsTests", dependencies: ["Views", "Expressions", "Aggregates", "Events", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "LogTests",
      dependencies: ["Log", "Producers", "LogTestSupport", "Wire", "Serving", "Events", "TestSupport", nioPosix],
      swiftSettings: strict),
    .testTarget(
      name: "ServingTests",
      dependencies: ["Serving", "Events", "TestSupport", nioCore, nioHTTP1, .product(name: "NIOEmbedded", package: "swift-nio")],
      swiftSettings: strict),
    .testTarget(
      name: "HTTPClientTests", dependencies: ["HTTPClient", "TestSupport", nioCore, nioPosix, nioHTTP1], swiftSettings: strict),
    .testTarget(name: "SocketsTests", dependencies: ["Sockets", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "IngestTests",
      dependencies: [
        "Ingest", "Serving", "WebSocket", "Events", "Resources", "TestSupport", nioCore, nioPosix, nioHTTP1, logging,
        .product(name: "NIOEmbedded", package: "swift-nio"),
      ],
      swiftSettings: strict),
    .testTarget(name: "SQLiteTests", dependencies: ["SQLite"], swiftSettings: strict),
    .testTarget(
      name: "ComputeTests",
      dependencies: ["Compute", "Query", "SQLite", "Log", "Expressions", "Aggregates", "Views", "Events", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "MeshTests", dependencies: ["Mesh", "TestSupport", nioCore, nioPosix, nioHTTP1, nioSSL, x509, crypto, logging],
      swiftSettings: strict),
    .testTarget(
      name: "WireTests",
      dependencies: [
        "Wire", "Serving", "Log", "LogTestSupport", "Compute", "Expressions", "Aggregates", "Views", "Events", "TestSupport",
        nioCore, nioPosix,
        nioHTTP1, logging,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "IdentityTests",
      dependencies: ["Identity", "Serving", "Events", "TestSupport", nioCore, nioPosix, nioSSL, x509, crypto],
      swiftSettings: strict),
    .testTarget(
      name: "QueryTests",
      dependencies: ["Query", "Serving", "Expressions", "Aggregates", "Views", "Events", "CSQLite", "TestSupport", nioHTTP1],
      swiftSettings: strict),
    .testTarget(
      name: "FuzzTests",
      dependencies: ["Events", "Expressions", "Aggregates", "Views", "WebSocket", "Query", "TestSupport", nioCore],
      exclude: ["Corpus"],
      swiftSettings: strict),
    .testTarget(
      name: "PenstockTests",
      dependencies: [
        "Penstock", "Expressions", "Aggregates", "Views", "Resources", logging, metrics,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "PenstockClientTests",
      dependencies: ["PenstockClient", "WebSocket", "CZlib", nioCore, nioPosix, nioHTTP1, logging],
      swiftSettings: strict),
    .testTarget(
      name: "EndToEndTests",
      dependencies: ["PenstockClient", "Penstock", "websocket-echo", nioPosix, logging],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
