import Events

/// The `Date` header's text, made once a second.
struct DateText: Sendable {
  private var second: Int64 = -1
  private var text = ""

  /// As RFC 9110 section 5.6.7 writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
  mutating func text(at time: Timestamp) -> String {
    let (second, _) = time.nanoseconds.flooredQuotientAndRemainder(by: 1_000_000_000)
    if second != self.second {
      self.second = second
      let (days, _) = second.flooredQuotientAndRemainder(by: 86400)
      let parts = Timestamp(nanoseconds: second * 1_000_000_000).description.dropLast().split { "-T".contains($0) }
      let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
      let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
      let weekday = weekdays[Int(days.flooredQuotientAndRemainder(by: 7).remainder)]
      text = "\(weekday), \(parts[2]) \(months[(Int(parts[1]) ?? 1) - 1]) \(parts[0]) \(parts[3]) GMT"
    }
    return text
  }
}
