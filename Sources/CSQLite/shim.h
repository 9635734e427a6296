#include <sqlite3.h>

/// Joins without Bloom filters: those hash a text by its length, and find no text of another length that a collation holds for equal.
/// The mask is SQLite's own, 3.38 and later; versions before have no such filters and ignore it.
static inline int penstock_without_bloom_filters(sqlite3 *connection) {
  return sqlite3_test_control(SQLITE_TESTCTRL_OPTIMIZATIONS, connection, 0x00080000);
}
