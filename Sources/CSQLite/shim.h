#include <sqlite3.h>

/// Turns Bloom filters of joins off: they hash a text by its length, so they miss texts of another length that a collation
/// holds for equal. The mask is SQLite's own, 3.38 and later; earlier versions have no such filters and ignore it.
static inline int penstock_without_bloom_filters(sqlite3 *connection) {
  return sqlite3_test_control(SQLITE_TESTCTRL_OPTIMIZATIONS, connection, 0x00080000);
}
