#pragma once

#include <stddef.h>

// A file that lies within the executable.
struct cresources_file {
  const char *name;
  const unsigned char *bytes;
  size_t count;
};

// Null when no file has this name.
const struct cresources_file *cresources_find(const char *name);
