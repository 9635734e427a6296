import Events
import TestSupport
import Testing

@testable import Expressions

/// The supported part of the CEL specification's conformance data (github.com/google/cel-spec, tests/simple/testdata),
/// each case under its own name there: file, section, test.
///
/// Left out, as not in the subset: bytes, maps, messages, lists but after `in`, matches, macros, conversions, unsigned overflow
/// and `-(5u)` (a number with `u` is an int here), and `int / double` pairs that CEL refuses and this subset computes.
private struct Case: Sendable, CustomTestStringConvertible {
  var name: String
  var text: String
  /// Nil for an error, at load or on the row.
  var expected: ResultValue?

  init(_ name: String, _ text: String, _ expected: ResultValue?) {
    (self.name, self.text, self.expected) = (name, text, expected)
  }

  var testDescription: String { "\(name): \(text)" }
}

private let logic: [Case] = [
  Case("logic/conditional/true_case", "true ? 1 : 2", .int(1)),
  Case("logic/conditional/false_case", "false ? 'foo' : 'bar'", .string("bar")),
  Case("logic/conditional/error_case", "2 / 0 > 4 ? 'baz' : 'quux'", nil),
  Case("logic/conditional/mixed_type", "true ? 'cows' : 17", .string("cows")),
  Case("logic/conditional/bad_type", "'cows' ? false : 17", nil),
  Case("logic/AND/all_true", "true && true", .bool(true)),
  Case("logic/AND/all_false", "false && false", .bool(false)),
  Case("logic/AND/false_left", "false && true", .bool(false)),
  Case("logic/AND/false_right", "true && false", .bool(false)),
  Case("logic/AND/short_circuit_error_left", "false && (2 / 0 > 3 ? false : true)", .bool(false)),
  Case("logic/AND/short_circuit_error_right", "(2 / 0 > 3 ? false : true) && false", .bool(false)),
  Case("logic/AND/error_right", "true && 1/0 != 0", nil),
  Case("logic/AND/error_left", "1/0 != 0 && true", nil),
  Case("logic/AND/no_overload", "'less filling' && 'tastes great'", nil),
  Case("logic/OR/all_true", "true || true", .bool(true)),
  Case("logic/OR/all_false", "false || false", .bool(false)),
  Case("logic/OR/false_left", "false || true", .bool(true)),
  Case("logic/OR/false_right", "true || false", .bool(true)),
  Case("logic/OR/short_circuit_error_left", "true || (2 / 0 > 3 ? false : true)", .bool(true)),
  Case("logic/OR/short_circuit_error_right", "(2 / 0 > 3 ? false : true) || true", .bool(true)),
  Case("logic/OR/error_right", "false || 1/0 != 0", nil),
  Case("logic/OR/error_left", "1/0 != 0 || false", nil),
  Case("logic/OR/no_overload", "'less filling' || 'tastes great'", nil),
  Case("logic/NOT/not_true", "!true", .bool(false)),
  Case("logic/NOT/not_false", "!false", .bool(true)),
]

private let math: [Case] = [
  Case("integer_math/int64_math/add_positive_positive", "42 + 2", .int(44)),
  Case("integer_math/int64_math/add_positive_negative", "42 + (-2)", .int(40)),
  Case("integer_math/int64_math/add_negative_negative", "-42 + (-2)", .int(-44)),
  Case("integer_math/int64_math/sub_positive_positive", "42 - 2", .int(40)),
  Case("integer_math/int64_math/sub_positive_negative", "42 - (-2)", .int(44)),
  Case("integer_math/int64_math/sub_negative_negative", "-42 - (-2)", .int(-40)),
  Case("integer_math/int64_math/multiply_positive_positive", "42 * 2", .int(84)),
  Case("integer_math/int64_math/multiply_positive_negative", "42 * (-2)", .int(-84)),
  Case("integer_math/int64_math/multiply_negative_negative", "-42 * (-2)", .int(84)),
  Case("integer_math/int64_math/devide_positive_positive", "42 / 2", .int(21)),
  Case("integer_math/int64_math/devide_positive_negative", "-42 / 2", .int(-21)),
  Case("integer_math/int64_math/devide_negative_negative", "-42 / (-2)", .int(21)),
  Case("integer_math/int64_math/mod_positive_positive", "42 % 5", .int(2)),
  Case("integer_math/int64_math/mod_positive_negative", "42 % (-5)", .int(2)),
  Case("integer_math/int64_math/mod_negative_negative", "-42 % (-5)", .int(-2)),
  Case("integer_math/int64_math/negtive", "-(42)", .int(-42)),
  Case("integer_math/int64_math/mod_zero", "42 % 0", nil),
  Case("integer_math/int64_math/negtive_zero", "-(0)", .int(0)),
  Case("integer_math/int64_math/double_negtive", "-(-42)", .int(42)),
  Case("integer_math/int64_math/devide_zero", "15 / 0", nil),
  Case("integer_math/int64_math/multiply_zero", "15 * 0", .int(0)),
  Case("integer_math/uint64_math/add", "42u + 2u", .int(44)),
  Case("integer_math/uint64_math/sub", "42u - 2u", .int(40)),
  Case("integer_math/uint64_math/multiply", "42u * 2u", .int(84)),
  Case("integer_math/uint64_math/devide", "42u / 2u", .int(21)),
  Case("integer_math/uint64_math/mod", "42u % 5u", .int(2)),
  Case("integer_math/uint64_math/mod_zero", "42u % 0u", nil),
  Case("integer_math/uint64_math/devide_zero", "15u / 0u", nil),
  Case("integer_math/uint64_math/multiply_zero", "15u * 0u", .int(0)),
]

private let strings: [Case] = [
  Case("string/size/empty", "size('')", .int(0)),
  Case("string/size/one_ascii", "size('A')", .int(1)),
  Case("string/size/one_unicode", "size('ÿ')", .int(1)),
  Case("string/size/ascii", "size('four')", .int(4)),
  Case("string/size/unicode", "size('πέντε')", .int(5)),
  Case("string/starts_with/basic_true", "'foobar'.startsWith('foo')", .bool(true)),
  Case("string/starts_with/basic_false", "'foobar'.startsWith('bar')", .bool(false)),
  Case("string/starts_with/empty_target", "''.startsWith('foo')", .bool(false)),
  Case("string/starts_with/empty_arg", "'foobar'.startsWith('')", .bool(true)),
  Case("string/starts_with/empty_empty", "''.startsWith('')", .bool(true)),
  Case("string/starts_with/unicode", "'завтра'.startsWith('за')", .bool(true)),
  Case("string/ends_with/basic_true", "'foobar'.endsWith('bar')", .bool(true)),
  Case("string/ends_with/basic_false", "'foobar'.endsWith('foo')", .bool(false)),
  Case("string/ends_with/empty_target", "''.endsWith('foo')", .bool(false)),
  Case("string/ends_with/empty_arg", "'foobar'.endsWith('')", .bool(true)),
  Case("string/ends_with/empty_empty", "''.endsWith('')", .bool(true)),
  Case("string/ends_with/unicode", "'forté'.endsWith('té')", .bool(true)),
  Case("string/concatentation/concat_true", "'he' + 'llo'", .string("hello")),
  Case("string/concatentation/concat_with_spaces", "'hello' + ' ' == 'hello'", .bool(false)),
  Case("string/concatentation/concat_empty_string_beginning", "'' + 'abc'", .string("abc")),
  Case("string/concatentation/concat_empty_string_end", "'abc' + ''", .string("abc")),
  Case("string/concatentation/concat_empty_with_empty", "'' + ''", .string("")),
  Case("string/concatentation/unicode_unicode", "'¢' + 'ÿ' + 'Ȁ'", .string("¢ÿȀ")),
  Case("string/concatentation/ascii_unicode", "'r' + 'ô' + 'le'", .string("rôle")),
  Case("string/concatentation/empty_unicode", "'' + 'Ω' + ''", .string("Ω")),
  Case("string/contains/contains_true", "'hello'.contains('he')", .bool(true)),
  Case("string/contains/contains_empty", "'hello'.contains('')", .bool(true)),
  Case("string/contains/contains_false", "'hello'.contains('ol')", .bool(false)),
  Case("string/contains/contains_multiple", "'abababc'.contains('ababc')", .bool(true)),
  Case("string/contains/contains_unicode", "'Straße'.contains('aß')", .bool(true)),
]

@Test("the supported cases of the CEL specification's conformance data hold", arguments: logic + math + strings)
private func conformance(_ one: Case) {
  let rows = TableRows(["data.x": [.null]])
  // An expression that cannot succeed on any row is refused at load: an error as well.
  guard let expression = try? Expression(parsing: one.text) else {
    #expect(one.expected == nil, "\(one.name) is refused at load")
    return
  }
  let found = outcomes(expression, rows)[0]
  #expect(found == one.expected.map { .value($0) } ?? .failed, "\(one.name)")
}
