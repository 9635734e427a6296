/// The log's OpenAPI document.
enum LogOpenAPI {
  static let document = #"""
    {"openapi":"3.1.0","info":{"title":"Penstock log","version":"1","description":"The log, as other services of Penstock ask it. Bodies are described byte by byte in docs/wire.md."},
    "paths":{
    "/v1/log":{"get":{"summary":"Wire version and number of partitions","operationId":"log","responses":{"200":{"description":"Both"}}}},
    "/v1/log/partitions/{partition}":{"get":{"summary":"First kept offset and high watermark","operationId":"bounds","parameters":[{"$ref":"#/components/parameters/partition"}],"responses":{"200":{"description":"Bounds"},"404":{"$ref":"#/components/responses/Problem"},"500":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/log/partitions/{partition}/batches":{"get":{"summary":"Whole batches from an offset up to the high watermark","operationId":"read","parameters":[{"$ref":"#/components/parameters/partition"},{"name":"from","in":"query","required":true,"schema":{"type":"integer","minimum":0}},{"name":"bytes_max","in":"query","schema":{"type":"integer","minimum":0}}],"responses":{"200":{"description":"Batches back to back","content":{"application/vnd.penstock.batches":{}}},"404":{"$ref":"#/components/responses/Problem"},"416":{"$ref":"#/components/responses/Problem"},"500":{"$ref":"#/components/responses/Problem"}}},
    "post":{"summary":"Append batches in order; answered when they are synced","operationId":"append","parameters":[{"$ref":"#/components/parameters/partition"}],"requestBody":{"required":true,"content":{"application/vnd.penstock.batches":{}}},"responses":{"200":{"description":"What became of each","content":{"application/vnd.penstock.receipts":{}}},"400":{"$ref":"#/components/responses/Problem"},"413":{"$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/log/partitions/{partition}/first_offset":{"get":{"summary":"Where to start so as to see every event of a time or later","operationId":"firstOffset","parameters":[{"$ref":"#/components/parameters/partition"},{"name":"at","in":"query","required":true,"description":"Nanoseconds since 1970","schema":{"type":"integer"}}],"responses":{"200":{"description":"An offset, or null"}}}},
    "/v1/log/wait":{"post":{"summary":"Answer when a partition has passed its offset, or the time is up","operationId":"wait","responses":{"200":{"description":"Whether one has"}}}},
    "/v1/log/producers":{"post":{"summary":"The last durable sequence of sources","operationId":"producers","responses":{"200":{"description":"Those that have one"}}}},
    "/v1/log/needs":{"post":{"summary":"Say from which offsets on events are still needed","operationId":"needs","responses":{"200":{"description":"Taken"}}}},
    "/livez":{"get":{"summary":"Alive","operationId":"livez","responses":{"200":{"description":"Alive"}}}},
    "/readyz":{"get":{"summary":"Ready to take events","operationId":"readyz","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/health":{"get":{"summary":"As /readyz","operationId":"health","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/metrics":{"get":{"summary":"Prometheus text","operationId":"metrics","responses":{"200":{"description":"Metrics"}}}},
    "/openapi.json":{"get":{"summary":"This document","operationId":"openapi","responses":{"200":{"description":"OpenAPI 3.1"}}}}},
    "components":{"parameters":{"partition":{"name":"partition","in":"path","required":true,"schema":{"type":"integer","minimum":0}}},
    "responses":{"Problem":{"description":"What went wrong (RFC 9457)","content":{"application/problem+json":{"schema":{"type":"object","required":["status","code","detail"],"properties":{"type":{"type":"string"},"title":{"type":"string"},"status":{"type":"integer"},"code":{"type":"string"},"detail":{"type":"string"}}}}}}}}}
    """#
}
