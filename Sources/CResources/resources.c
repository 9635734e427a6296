// The C compiler puts the console and the descriptions of the interfaces into the executable: as array literals of Swift they
// take half a minute to compile (docs/decisions/0004-traits.md).
#include "CResources.h"

#include <string.h>

static const unsigned char index_html[] = {
#embed "../Query/Console/page/index.html"
};
static const unsigned char icon_svg[] = {
#embed "../Query/Console/page/icon.svg"
};
static const unsigned char console_css[] = {
#embed "../Query/Console/page/console.css"
};
static const unsigned char console_js[] = {
#embed "../Query/Console/page/console.js"
};
static const unsigned char api_js[] = {
#embed "../Query/Console/page/api.js"
};
static const unsigned char dom_js[] = {
#embed "../Query/Console/page/dom.js"
};
static const unsigned char chart_js[] = {
#embed "../Query/Console/page/chart.js"
};
static const unsigned char overview_js[] = {
#embed "../Query/Console/page/overview.js"
};
static const unsigned char views_js[] = {
#embed "../Query/Console/page/views.js"
};
static const unsigned char sql_js[] = {
#embed "../Query/Console/page/sql.js"
};
static const unsigned char log_js[] = {
#embed "../Query/Console/page/log.js"
};
static const unsigned char sources_js[] = {
#embed "../Query/Console/page/sources.js"
};
static const unsigned char replay_js[] = {
#embed "../Query/Console/page/replay.js"
};
static const unsigned char mesh_js[] = {
#embed "../Query/Console/page/mesh.js"
};
static const unsigned char query_openapi_json[] = {
#embed "../Query/HTTP/query-openapi.json"
};
static const unsigned char ingest_openapi_json[] = {
#embed "../Ingest/HTTP/ingest-openapi.json"
};
static const unsigned char asyncapi_json[] = {
#embed "../Ingest/Connection/asyncapi.json"
};
static const unsigned char log_openapi_json[] = {
#embed "../Wire/Log/log-openapi.json"
};
static const unsigned char compute_openapi_json[] = {
#embed "../Wire/Views/compute-openapi.json"
};

#define FILE_OF(name, bytes) {name, bytes, sizeof(bytes)}

static const struct cresources_file files[] = {
    FILE_OF("index.html", index_html),
    FILE_OF("icon.svg", icon_svg),
    FILE_OF("console.css", console_css),
    FILE_OF("console.js", console_js),
    FILE_OF("api.js", api_js),
    FILE_OF("dom.js", dom_js),
    FILE_OF("chart.js", chart_js),
    FILE_OF("overview.js", overview_js),
    FILE_OF("views.js", views_js),
    FILE_OF("sql.js", sql_js),
    FILE_OF("log.js", log_js),
    FILE_OF("sources.js", sources_js),
    FILE_OF("replay.js", replay_js),
    FILE_OF("mesh.js", mesh_js),
    FILE_OF("query-openapi.json", query_openapi_json),
    FILE_OF("ingest-openapi.json", ingest_openapi_json),
    FILE_OF("asyncapi.json", asyncapi_json),
    FILE_OF("log-openapi.json", log_openapi_json),
    FILE_OF("compute-openapi.json", compute_openapi_json),
};

const struct cresources_file *cresources_find(const char *name) {
  for (size_t index = 0; index < sizeof(files) / sizeof(files[0]); index++) {
    if (strcmp(files[index].name, name) == 0) return &files[index];
  }
  return NULL;
}
