#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A terminal's second screen, redrawn in place. After `leave` the terminal shows its first screen again.
struct TerminalScreen: ~Copyable {
  private let stream: StandardStream
  private let color: Bool
  /// The terminal's settings before; nil where standard input is no terminal.
  private let original: termios?

  /// Takes the screen: hides the cursor and typed characters (Ctrl-C still interrupts).
  init(_ stream: StandardStream, color: Bool) throws {
    self.stream = stream
    self.color = color
    var settings = termios()
    if tcgetattr(STDIN_FILENO, &settings) == 0 {
      original = settings
      settings.c_lflag &= ~tcflag_t(ECHO)
      _ = tcsetattr(STDIN_FILENO, TCSANOW, &settings)
    } else {
      original = nil
    }
    try stream.write("\u{1B}[?1049h\u{1B}[?25l")
  }

  var rows: Int { stream.rows }

  /// Draws over the old content, so that nothing flickers, and clears the rest.
  func draw(_ lines: [OverviewText.Line]) throws {
    let columns = stream.columns
    var out = "\u{1B}[H"
    for (index, line) in lines.enumerated() {
      if index > 0 { out += "\r\n" }
      out += line.rendered(columns: columns, color: color) + "\u{1B}[K"
    }
    try stream.write(out + "\u{1B}[J")
  }

  consuming func leave() {
    do { try stream.write("\u{1B}[?25h\u{1B}[?1049l") } catch {
      // A terminal that is gone needs no cleaning.
    }
    if var original { _ = tcsetattr(STDIN_FILENO, TCSANOW, &original) }
  }
}

extension StandardStream {
  /// Rows of the terminal; 24 where it does not say.
  fileprivate var rows: Int {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0 else { return 24 }
    return Int(size.ws_row)
  }
}
