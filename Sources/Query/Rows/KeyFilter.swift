import Events
import Expressions
import Views

extension Expression {
  /// Reads `where=`: a condition over a view's key columns.
  init(where text: String, keysOf schema: ViewSchema) throws(QueryFailure) {
    do throws(ExpressionError) {
      try self.init(parsing: text, scope: schema.keys.scope)
      try requireBoolean()
    } catch {
      throw .parameter("where", Expression.explain(error, text, schema).description, code: "invalid_expression")
    }
  }

  /// An aggregate in `where` is no misspelt key.
  private static func explain(_ error: ExpressionError, _ text: String, _ schema: ViewSchema) -> ExpressionError {
    do throws(ExpressionError) {
      let expression = try Expression(parsing: text, scope: schema.columns.scope)
      let keys = schema.keys.map(\.name)
      let other = expression.paths.map(\.description).first { !keys.contains($0) }
      guard let other else { return error }
      let what = schema.aggregates.contains { $0.name == other } ? "an aggregate" : "the window's"
      let known = keys.isEmpty ? "this view has none" : "here \(keys.joined(separator: ", "))"
      return ExpressionError("where is over key columns, \(known); '\(other)' is \(what)", in: text, at: error.position)
    } catch {
      // There are several errors: the first stands.
    }
    return error
  }
}
