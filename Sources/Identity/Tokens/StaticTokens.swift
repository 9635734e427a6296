#if Secure
  import Crypto
  import Events
  import Serving

  /// Tokens that are valid until they are taken out of their file: for operators, scrapers and small fleets.
  ///
  /// One JSON object a line; empty lines and those that begin with `#` are passed over:
  /// `{"token":"…","subject":"alice","scopes":["query","admin"],"sources":["station/*"]}`
  public struct StaticTokens: Sendable {
    public static let bytesMax = 1 << 20
    static let tokensMax = 1024
    /// Shorter tokens can be guessed.
    static let tokenBytesMin = 16

    /// SHA-256 of each token: equal lengths, and no secret stays in memory.
    private var entries: [(digest: [UInt8], caller: Caller)] = []

    public init() {}

    public init(text: String) throws(KeyFileError) {
      for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
        let content = line.drop { $0 == " " || $0 == "\t" }
        guard !content.isEmpty, content != "\r", content.first != "#" else { continue }
        let object: JSONValue
        // The parser's own words could repeat what it read.
        do { object = try JSONValue(parsing: String(content)) } catch {
          throw KeyFileError("line \(index + 1): not a JSON object")
        }
        try add(object, line: index + 1)
      }
    }

    private mutating func add(_ object: JSONValue, line: Int) throws(KeyFileError) {
      guard case .object(let members) = object else { throw KeyFileError("line \(line): not a JSON object") }
      let known: Set<String> = ["token", "subject", "scopes", "sources", "events_per_second"]
      if let unknown = members.first(where: { !known.contains($0.name) }) {
        throw KeyFileError(
          "line \(line): unknown member '\(unknown.name.prefix(32))'; known: \(known.sorted().joined(separator: ", "))")
      }
      guard case .string(let token)? = members["token"], token.utf8.count >= StaticTokens.tokenBytesMin,
        token.utf8.count <= JSONWebToken.bytesMax, !token.contains(where: \.isWhitespace)
      else {
        throw KeyFileError("line \(line): 'token' is no text of \(StaticTokens.tokenBytesMin) bytes at least, without spaces")
      }
      guard case .string(let subject)? = members["subject"], (1...Caller.subjectBytesMax).contains(subject.utf8.count) else {
        throw KeyFileError("line \(line): 'subject' is no text of 1 to \(Caller.subjectBytesMax) bytes")
      }
      var caller = Caller(subject: subject, scopes: [.ingest], sources: SourcePermission(source: subject))
      if let scopes = members["scopes"] {
        caller.scopes = Set(
          try StaticTokens.texts(scopes, "scopes", line).map { word throws(KeyFileError) in
            guard let scope = AccessScope(rawValue: word) else {
              throw KeyFileError(
                "line \(line): unknown scope; known: \(AccessScope.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            return scope
          })
      }
      if let sources = members["sources"] {
        let patterns = try StaticTokens.texts(sources, "sources", line)
        guard patterns.count <= SourcePermission.patternsMax else {
          throw KeyFileError("line \(line): more than \(SourcePermission.patternsMax) sources")
        }
        caller.sources = SourcePermission(patterns: patterns)
      }
      if let rate = members["events_per_second"] {
        guard case .int(let number) = rate, (1...1_000_000_000).contains(number) else {
          throw KeyFileError("line \(line): 'events_per_second' is no whole number from 1 to 1000000000")
        }
        caller.eventsPerSecondMax = Int(number)
      }
      let digest = Array(SHA256.hash(data: Array(token.utf8)))
      guard !entries.contains(where: { $0.digest == digest }) else { throw KeyFileError("line \(line): a token given before") }
      guard entries.count < StaticTokens.tokensMax else { throw KeyFileError("more than \(StaticTokens.tokensMax) tokens") }
      entries.append((digest, caller))
    }

    private static func texts(_ value: JSONValue, _ name: String, _ line: Int) throws(KeyFileError) -> [String] {
      guard case .array(let elements) = value else { throw KeyFileError("line \(line): '\(name)' is no list") }
      return try elements.map { element throws(KeyFileError) in
        guard case .string(let text) = element else { throw KeyFileError("line \(line): '\(name)' is not all text") }
        return text
      }
    }

    /// Looks at every entry and every byte, whichever fits: the time tells nothing about how near a guess was.
    func caller(digest: [UInt8]) -> Caller? {
      var found: Caller?
      for entry in entries {
        var difference: UInt8 = 0
        for at in 0..<SHA256.byteCount { difference |= entry.digest[at] ^ digest[at] }
        if difference == 0 { found = entry.caller }
      }
      return found
    }

    var isEmpty: Bool { entries.isEmpty }
  }
#endif
