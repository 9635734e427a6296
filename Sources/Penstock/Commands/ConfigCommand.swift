import ArgumentParser

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "The configuration.",
    subcommands: [ConfigCheckCommand.self, ConfigReferenceCommand.self])
}

struct ConfigCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Print every key, its value and where it came from; unknown keys are errors.",
    discussion: "All problems are told at once, and the exit code is then 2. Secrets are masked.")

  @OptionGroup var configuration: ConfigurationOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() throws {
    let loaded = try configuration.load()
    let table = Self.table(loaded.entries, format: outputOptions.output)
    try outputOptions.write(table)
    for notice in loaded.settings.notices { StandardStream.error.note("penstock: \(notice)") }
  }

  static func table(_ entries: [SettingsReader.Entry], format: OutputFormat) -> Table {
    // JSON has a null of its own; elsewhere the word tells it from an empty text.
    let null = format == .json ? RawJSON.null : .string("null")
    var table = Table([Table.Column("key"), Table.Column("value"), Table.Column("origin")])
    for entry in entries {
      table.append([.string(entry.key), entry.value.map { .string($0) } ?? null, .string("\(entry.origin)")])
    }
    return table
  }
}

struct ConfigReferenceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reference", abstract: "Print every key with its default, bounds and meaning, as Markdown.")

  func run() throws { try StandardStream.output.write(settingsReference(SettingKeys.all)) }
}

/// The table of docs/configuration.md.
func settingsReference(_ declarations: [SettingDeclaration]) -> String {
  var out = "| key | default | takes | does |\n|---|---|---|---|\n"
  for key in declarations {
    out += "| `\(key.name)` | `\(key.defaultText ?? "null")` | \(key.expected) | \(key.help.replacing("|", with: "\\|")) |\n"
  }
  return out
}
