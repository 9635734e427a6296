import Events

extension ViewDefinition {
  /// The settings below the view's name in a file of views, as JSON.
  public var settings: JSONValue {
    var members = JSONObject()
    if let filter { members["where"] = .string(filter.text) }
    if !keys.isEmpty {
      var columns = JSONObject()
      for key in keys { columns[key.name] = .string(key.path.expressionText) }
      members["key"] = .object(columns)
    }
    members["window"] = window.json
    members["watermark"] = .string(watermark.rawValue)
    members["watermark_delay"] = .string(DurationText.text(watermarkDelay))
    members["allowed_lateness"] = .string(DurationText.text(allowedLateness))
    if let retention { members["retention"] = .string(DurationText.text(retention)) }
    var columns = JSONObject()
    for aggregate in aggregates { columns[aggregate.name] = .string(aggregate.canonicalText) }
    members["aggregates"] = .object(columns)
    return .object(members)
  }

  public func with(allowedLateness: Int64) -> ViewDefinition {
    ViewDefinition(
      name: name, filter: filter, keys: keys, window: window, watermark: watermark, watermarkDelay: watermarkDelay,
      allowedLateness: allowedLateness, retention: retention, aggregates: aggregates)
  }

  public func with(retention: Int64?) -> ViewDefinition {
    ViewDefinition(
      name: name, filter: filter, keys: keys, window: window, watermark: watermark, watermarkDelay: watermarkDelay,
      allowedLateness: allowedLateness, retention: retention, aggregates: aggregates)
  }
}
