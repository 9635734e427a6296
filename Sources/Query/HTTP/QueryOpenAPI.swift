/// The service's OpenAPI document.
enum QueryOpenAPI {
  static let document = #"""
    {"openapi":"3.1.0","info":{"title":"Penstock query","version":"1","description":"Results of views, and raw events."},
    "paths":{"/":{"get":{"summary":"The console","operationId":"console",
    "responses":{"200":{"description":"A web page","content":{"text/html":{"schema":{"type":"string"}}}}}}},
    "/console/{file}":{"get":{"summary":"A part of the console","operationId":"consoleFile","parameters":[{"name":"file",
    "in":"path","required":true,"schema":{"type":"string"}}],"responses":{"200":{"description":"The file"},"404":{
    "$ref":"#/components/responses/Problem"}}}},
    "/v1/overview":{"get":{"summary":"What comes in, what is counted, how far behind","operationId":"overview",
    "responses":{"200":{"description":"Now","content":{"application/json":{"schema":{"type":"object"}}}},"503":{
    "$ref":"#/components/responses/Problem"}}}},
    "/v1/mesh":{"get":{"summary":"Every instance of every service; empty where all run in one process","operationId":"mesh",
    "responses":{"200":{"description":"The instances","content":{"application/json":{"schema":{"type":"object","required":[
    "instances"],"properties":{"instances":{"type":"array","items":{"type":"object"}}}}}}}}}},
    "/v1/overview/live":{"get":{"summary":"The overview each second, as Server-Sent Events","operationId":"liveOverview",
    "responses":{"200":{"description":"Events","content":{"text/event-stream":{"schema":{"type":"string"}}}},"503":{
    "$ref":"#/components/responses/Problem"}}}},
    "/v1/views":{"get":{"summary":"Every view with its columns, offsets and lag","operationId":"listViews",
    "responses":{"200":{"description":"The views","content":{"application/json":{"schema":{
    "$ref":"#/components/schemas/Views"}}}},"400":{"$ref":"#/components/responses/Problem"},"503":{
    "$ref":"#/components/responses/Problem"}}}},"/v1/views/{view}":{"get":{"summary":"Rows of a view","operationId":"readView",
    "parameters":[{"name":"view","in":"path","required":true,"schema":{"type":"string"}},{
    "$ref":"#/components/parameters/from"},{"$ref":"#/components/parameters/to"},{"name":"where","in":"query",
    "description":"Condition over key columns, in the CEL subset","schema":{"type":"string"}},{"name":"group_by","in":"query",
    "description":"Keys to keep, comma-separated; empty merges all keys away","allowEmptyValue":true,"schema":{
    "type":"string"}},{"name":"step","in":"query",
    "description":"Merge windows into longer ones: a multiple of the view's window","schema":{"type":"string","examples":[
    "7d"]}},{"name":"order","in":"query","description":"Columns to sort by, comma-separated, '-' before one for descending",
    "schema":{"type":"string"}},{"name":"limit","in":"query","schema":{"type":"integer","minimum":1,"maximum":100000,
    "default":1000}},{"$ref":"#/components/parameters/cursor"},{"name":"after","in":"query",
    "description":"Wait until these offsets are counted","schema":{"type":"string","examples":["{\"3\":90}"]}},{
    "name":"timeout","in":"query","description":"How long to wait, at most 60s","schema":{"type":"string","default":"5s"}},{"name":"allow_partial","in":"query",
    "description":"Leave out partitions that nobody answers for, and say so, instead of a 503","schema":{"type":"boolean",
    "default":false}},{
    "name":"format","in":"query","description":"Before Accept","schema":{"type":"string","enum":["json","csv","ndjson"],
    "default":"json"}},{"name":"generation","in":"query","description":"The live one when left out","schema":{"type":"integer",
    "minimum":1}},{"name":"as_of","in":"query",
    "description":"The rows as they were when exactly these offsets had been counted; a partition left out counts nothing",
    "schema":{"type":"string","examples":["{\"0\":118}"]}}],"responses":{"200":{"description":"Rows; of csv and ndjson the headers have as_of and next_cursor",
    "headers":{"Penstock-As-Of":{"description":"Offset vector; csv and ndjson","schema":{"type":"string"}},
    "Penstock-Next-Cursor":{"description":"csv and ndjson, when more rows follow","schema":{"type":"string"}}},"content":{
    "application/json":{"schema":{"$ref":"#/components/schemas/Rows"}},"text/csv":{"schema":{"type":"string"}},
    "application/x-ndjson":{"schema":{"type":"string"}}}},"400":{"$ref":"#/components/responses/Problem"},"404":{
    "$ref":"#/components/responses/Problem"},"406":{"$ref":"#/components/responses/Problem"},"409":{
    "$ref":"#/components/responses/Problem"},"410":{"$ref":"#/components/responses/Problem"},"500":{
    "$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"},"504":{
    "$ref":"#/components/responses/Problem"}}}},
    """# + AdminOpenAPI.paths + #"""
    "/v1/views/{view}/live":{"get":{"summary":"Rows of a view, then each change, as Server-Sent Events","operationId":"liveView",
    "parameters":[{"name":"view","in":"path","required":true,"schema":{"type":"string"}},{
    "$ref":"#/components/parameters/from"},{"$ref":"#/components/parameters/to"},{"name":"where","in":"query","schema":{
    "type":"string"}},{"name":"group_by","in":"query","allowEmptyValue":true,"schema":{"type":"string"}},{"name":"step","in":"query",
    "schema":{"type":"string"}},{"name":"after","in":"query","schema":{"type":"string"}},{"name":"timeout","in":"query","schema":{
    "type":"string","default":"5s"}},{"name":"interval","in":"query","description":"A row changes at most once in it; 50ms to 1m",
    "schema":{"type":"string","default":"500ms"}},{"name":"Last-Event-ID","in":"header","description":"Resumes: the id last received",
    "schema":{"type":"string"}}],"responses":{"200":{"description":"Events rows, change, gone, lagged, error, end","content":{
    "text/event-stream":{"schema":{"type":"string"}}}},"400":{"$ref":"#/components/responses/Problem"},"404":{
    "$ref":"#/components/responses/Problem"},"422":{"$ref":"#/components/responses/Problem"},"503":{
    "$ref":"#/components/responses/Problem"},"504":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/views/{view}/late":{"get":{"summary":"Late events: those no window counts, because theirs had closed","operationId":"lateEvents",
    "parameters":[{"name":"view","in":"path","required":true,"schema":{"type":"string"}},{
    "$ref":"#/components/parameters/from"},{"$ref":"#/components/parameters/to"},{"name":"limit","in":"query","schema":{
    "type":"integer","minimum":1,"maximum":1000,"default":100}},{"$ref":"#/components/parameters/cursor"},{"name":"generation",
    "in":"query","schema":{"type":"integer"}},{"name":"format","in":"query","schema":{"type":"string","enum":["json","csv","ndjson"],
    "default":"json"}}],"responses":{"200":{"description":"Late events, by partition and offset","content":{"application/json":{
    "schema":{"type":"object","required":["view","generation","as_of","events","next_cursor"],"properties":{"view":{"type":"string"},
    "generation":{"type":"integer"},"as_of":{"$ref":"#/components/schemas/Offsets"},"events":{"type":"array","items":{
    "type":"object","required":["partition","offset","time","window_start","reason","event"]}},"next_cursor":{"type":["string",
    "null"]}}}},"text/csv":{"schema":{"type":"string"}},"application/x-ndjson":{"schema":{"type":"string"}}}},"400":{
    "$ref":"#/components/responses/Problem"},"404":{"$ref":"#/components/responses/Problem"},"503":{
    "$ref":"#/components/responses/Problem"}}}},
    "/v1/aggregate":{"post":{"summary":"A view's definition, computed once from the log","operationId":"aggregate","parameters":[{
    "name":"format","in":"query","schema":{"type":"string","enum":["json","csv","ndjson"],"default":"json"}}],"requestBody":{
    "required":true,"content":{"application/json":{"schema":{"type":"object","required":["window","aggregates"],"properties":{"name":{
    "type":"string"},"where":{"type":"string"},"key":{"type":["array","object"]},"window":{"type":"object"},"watermark_delay":{
    "type":"string"},"allowed_lateness":{"type":"string"},"retention":{"type":"string"},"aggregates":{"type":"object",
    "additionalProperties":{"type":"string"}},"from":{"type":"string"},"to":{"type":"string"},"timeout":{"type":"string",
    "default":"30s"}}}}}},"responses":{"200":{"description":"Rows","content":{"application/json":{"schema":{
    "$ref":"#/components/schemas/Rows"}},"text/csv":{"schema":{"type":"string"}},"application/x-ndjson":{"schema":{"type":"string"}}}},
    "400":{"$ref":"#/components/responses/Problem"},"413":{"$ref":"#/components/responses/Problem"},"415":{
    "$ref":"#/components/responses/Problem"},"422":{"$ref":"#/components/responses/Problem"},"503":{
    "$ref":"#/components/responses/Problem"},"504":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/sql":{"post":{"summary":"Read-only SQL over the views: each is a table","operationId":"sql",
    "parameters":[{"name":"format","in":"query","description":"Before Accept","schema":{"type":"string","enum":["json","csv",
    "ndjson"],"default":"json"}}],"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object",
    "required":["sql"],"properties":{"sql":{"type":"string"},"limit":{"type":"integer","minimum":1,"default":1000},"timeout":{
    "type":"string","default":"10s"}}}}}},"responses":{"200":{"description":"Rows","content":{"application/json":{"schema":{
    "$ref":"#/components/schemas/SQLRows"}},"text/csv":{"schema":{"type":"string"}},"application/x-ndjson":{"schema":{
    "type":"string"}}}},"400":{"$ref":"#/components/responses/Problem"},"403":{"$ref":"#/components/responses/Problem"},"413":{
    "$ref":"#/components/responses/Problem"},"415":{"$ref":"#/components/responses/Problem"},"422":{
    "$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"},"504":{
    "$ref":"#/components/responses/Problem"}}}},
    "/v1/ledger":{"get":{"summary":"Whether every event that came is accounted for","operationId":"ledger",
    "responses":{"200":{"description":"The ledger","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Ledger"}}}},
    "503":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/rejects":{"get":{"summary":"The last events that were not taken, by reason","operationId":"rejects","parameters":[{"name":"code",
    "in":"query","description":"Of this reject code only","schema":{"type":"string"}}],"responses":{"200":{"description":"The newest first",
    "content":{"application/json":{"schema":{"type":"object","required":["rejects"],"properties":{"rejects":{"type":"array","items":{
    "type":"object","required":["time","code","detail","event","message"],"properties":{"time":{"type":"string","format":"date-time"},
    "code":{"type":"string"},"detail":{"type":"string"},"event":{"type":["integer","null"]},"message":{"type":["string","null"]}}}}}}}}},
    "400":{"$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/events":{"get":{
    "summary":"Raw events from the log, by partition and offset","operationId":"readEvents","parameters":[{"name":"source",
    "in":"query","schema":{"type":"string"}},{"name":"type","in":"query","schema":{"type":"string"}},{
    "$ref":"#/components/parameters/from"},{"$ref":"#/components/parameters/to"},{"name":"limit","in":"query","schema":{
    "type":"integer","minimum":1,"maximum":10000,"default":100}},{"$ref":"#/components/parameters/cursor"},{"name":"timeout",
    "in":"query",
    "description":"With follow=true, how long to wait for an event; at most 60s","schema":{"type":"string","default":"0s"}},{
    "name":"follow",
    "in":"query","description":"Always give a next_cursor, for events that come later","schema":{"type":"boolean",
    "default":false}},{"name":"format","in":"query","schema":{"type":"string","enum":["json","ndjson"],"default":"json"}}],
    "responses":{"200":{"description":"Events","headers":{"Penstock-As-Of":{"description":"Offset vector; ndjson","schema":{
    "type":"string"}},"Penstock-Next-Cursor":{"description":"ndjson, when more may follow","schema":{"type":"string"}}},
    "content":{"application/json":{"schema":{"$ref":"#/components/schemas/Events"}},"application/x-ndjson":{"schema":{
    "type":"string"}}}},"400":{"$ref":"#/components/responses/Problem"},"406":{"$ref":"#/components/responses/Problem"},"500":{
    "$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"}}}},
    "/livez":{"get":{"summary":"Alive","operationId":"livez","responses":{"200":{"description":"Alive"}}}},
    "/readyz":{"get":{"summary":"Ready to answer; asks its dependencies","operationId":"readyz",
    "responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/health":{"get":{"summary":"As /readyz","operationId":"health",
    "responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/metrics":{"get":{"summary":"Prometheus text","operationId":"metrics",
    "responses":{"200":{"description":"Metrics","content":{"text/plain":{"schema":{"type":"string"}}}}}}},
    "/openapi.json":{"get":{"summary":"This document","operationId":"openapi",
    "responses":{"200":{"description":"OpenAPI 3.1","content":{"application/json":{"schema":{"type":"object"}}}}}}}},
    "components":{"parameters":{"from":{"name":"from","in":"query","description":"Inclusive: RFC 3339, or a date","schema":{
    "type":"string"}},"to":{"name":"to","in":"query","description":"Exclusive: RFC 3339, or a date","schema":{"type":"string"}},
    "cursor":{"name":"cursor","in":"query",
    "description":"next_cursor of the page before; all other parameters but limit and format as they were","schema":{
    "type":"string"}}},"schemas":{"Offsets":{"type":"object","description":"Partition to next offset","additionalProperties":{
    "type":"integer","minimum":0}},"Column":{"type":"object","required":["name","type"],"properties":{"name":{"type":"string"},
    "type":{"enum":["timestamp","boolean","int64","double","string","any"]},"role":{"enum":["window","key","aggregate"]}}},
    "Rows":{"type":"object","required":["view","generation","as_of","columns","rows","next_cursor"],"properties":{"view":{
    "type":"string"},"generation":{"type":"integer"},"as_of":{"$ref":"#/components/schemas/Offsets"},"columns":{"type":"array",
    "items":{"$ref":"#/components/schemas/Column"}},"rows":{"type":"array","items":{"type":"object","required":["window_start",
    "window_end","final"],"properties":{"window_start":{"type":"string","format":"date-time"},"window_end":{"type":"string",
    "format":"date-time"},"final":{"type":"boolean"}},"additionalProperties":{"type":["string","number","boolean","null"]}}},
    "next_cursor":{"type":["string","null"]}}},"SQLRows":{"type":"object","required":["columns","rows","as_of","truncated"],"properties":{"columns":{"type":"array","items":{
    "$ref":"#/components/schemas/Column"}},"rows":{"type":"array","items":{"type":"object","additionalProperties":{"type":["string",
    "number","boolean","null"]}}},"as_of":{"type":"object","description":"By view","additionalProperties":{
    "$ref":"#/components/schemas/Offsets"}},"generations":{"type":"object","additionalProperties":{"type":"integer"}},"truncated":{
    "type":"boolean"}}},"LedgerRow":{"type":"object","required":["appended","applied","filtered","late","pending","balanced"],
    "properties":{"appended":{"type":"integer"},"applied":{"type":"integer"},"filtered":{"type":"integer"},"late":{
    "type":"integer"},"pending":{"type":"integer"},"balanced":{"type":"boolean"}}},"Ledger":{"type":"object","required":["views",
    "balanced"],"properties":{"ingest":{"type":["object","null"]},"log":{"type":"array","items":{"type":"object"}},"views":{
    "type":"array","items":{"allOf":[{"$ref":"#/components/schemas/LedgerRow"},{"type":"object","properties":{"view":{
    "type":"string"},"generation":{"type":"integer"},"partitions":{"type":"array","items":{
    "$ref":"#/components/schemas/LedgerRow"}}}}]}},"balanced":{"type":"boolean"}}},"Views":{"type":"object","required":["views"],"properties":{"views":{
    "type":"array","items":{"type":"object","required":["name","generation","keys","columns","offsets","lag"],"properties":{
    "name":{"type":"string"},"generation":{"type":"integer"},"where":{"type":["string","null"]},"keys":{"type":"array","items":{
    "type":"string"}},"window":{"type":"object"},"watermark_delay":{"type":"string"},"allowed_lateness":{"type":"string"},
    "retention":{"type":["string","null"]},"columns":{"type":"array","items":{"$ref":"#/components/schemas/Column"}},"offsets":{
    "$ref":"#/components/schemas/Offsets"},"high_watermarks":{"$ref":"#/components/schemas/Offsets"},"event_time_watermarks":{
    "type":"object","additionalProperties":{"type":"string","format":"date-time"}},"lag":{"type":"object","properties":{
    "events":{"type":"integer"},"seconds":{"type":["number","null"]}}},"counts":{"type":"object","additionalProperties":{
    "type":"integer"}}}}}}},"Event":{"type":"object","required":["specversion","source","type","time","logpartition",
    "logoffset"],"properties":{"specversion":{"const":"1.0"},"id":{"type":"string"},"source":{"type":"string"},"type":{
    "type":"string"},"time":{"type":"string","format":"date-time"},"subject":{"type":"string"},"sequence":{"type":"integer"},
    "epoch":{"type":"integer"},"logpartition":{"type":"integer"},"logoffset":{"type":"integer"},"data":{}}},
    "Events":{"type":"object","required":["events","next_cursor","as_of"],"properties":{"events":{"type":"array","items":{
    "$ref":"#/components/schemas/Event"}},"next_cursor":{"type":["string","null"]},"as_of":{
    "$ref":"#/components/schemas/Offsets"}}},"Problem":{"type":"object","required":["status","code","detail"],"properties":{
    "type":{"type":"string"},"title":{"type":"string"},"status":{"type":"integer"},"code":{"type":"string"},"detail":{
    "type":"string"},"parameter":{"type":"string"},"reached":{"$ref":"#/components/schemas/Offsets"}}}},
    "responses":{"Problem":{"description":"What went wrong (RFC 9457)","content":{"application/problem+json":{"schema":{
    "$ref":"#/components/schemas/Problem"}}}}}}}
    """#
}
