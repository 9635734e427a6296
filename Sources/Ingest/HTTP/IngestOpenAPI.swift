/// Ingest's OpenAPI document.
enum IngestOpenAPI {
  static let document = #"""
    {"openapi":"3.1.0","info":{"title":"Penstock ingest","version":"1","description":"Devices send CloudEvents here. The WebSocket protocol penstock.v1 is at /v1/stream."},
    "paths":{
    "/v1/events":{"post":{"summary":"Append events; answered when they are synced","operationId":"postEvents",
    "requestBody":{"required":true,"content":{
    "application/cloudevents+json":{"schema":{"$ref":"#/components/schemas/Event"}},
    "application/cloudevents-batch+json":{"schema":{"type":"array","items":{"$ref":"#/components/schemas/Event"}}},
    "application/json":{"schema":{"anyOf":[{"$ref":"#/components/schemas/Event"},{"type":"array","items":{"$ref":"#/components/schemas/Event"}}]}},
    "application/x-ndjson":{"schema":{"type":"string"}}}},
    "responses":{
    "200":{"description":"Taken","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Result"}}}},
    "400":{"$ref":"#/components/responses/Problem"},"413":{"$ref":"#/components/responses/Problem"},
    "415":{"$ref":"#/components/responses/Problem"},"422":{"$ref":"#/components/responses/Problem"},
    "503":{"$ref":"#/components/responses/Problem"}}}},
    "/v1/stream":{"get":{"summary":"WebSocket, subprotocol penstock.v1 or cloudevents.json","operationId":"stream",
    "parameters":[{"name":"source","in":"query","description":"A source whose resume point the welcome gives; repeatable","schema":{"type":"array","items":{"type":"string"}}}],
    "responses":{"101":{"description":"WebSocket"},"400":{"$ref":"#/components/responses/Problem"},"426":{"$ref":"#/components/responses/Problem"},"503":{"$ref":"#/components/responses/Problem"}}}},
    "/livez":{"get":{"summary":"Alive","operationId":"livez","responses":{"200":{"description":"Alive"}}}},
    "/readyz":{"get":{"summary":"Ready to take events","operationId":"readyz","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/health":{"get":{"summary":"As /readyz","operationId":"health","responses":{"200":{"description":"Ready"},"503":{"description":"Not ready"}}}},
    "/metrics":{"get":{"summary":"Prometheus text","operationId":"metrics","responses":{"200":{"description":"Metrics"}}}},
    "/openapi.json":{"get":{"summary":"This document","operationId":"openapi","responses":{"200":{"description":"OpenAPI 3.1"}}}}},
    "components":{"schemas":{
    "Event":{"type":"object","required":["source","type"],"properties":{"specversion":{"const":"1.0"},"id":{"type":"string","minLength":1},"source":{"type":"string","minLength":1},"type":{"type":"string","minLength":1},"time":{"type":"string","format":"date-time"},"subject":{"type":"string"},"sequence":{"type":"integer","minimum":0},"epoch":{"type":"integer","minimum":0},"data":{}},"additionalProperties":{"type":["string","boolean","integer","null"]}},
    "Result":{"type":"object","required":["appended","duplicates","rejected","offsets"],"properties":{"appended":{"type":"integer"},"duplicates":{"type":"integer"},"rejected":{"type":"array","items":{"type":"object","properties":{"event":{"type":["integer","null"]},"code":{"type":"string"},"detail":{"type":"string"}}}},"offsets":{"type":"object","additionalProperties":{"type":"integer"}}}},
    "Problem":{"type":"object","required":["status","code","detail"],"properties":{"type":{"type":"string"},"title":{"type":"string"},"status":{"type":"integer"},"code":{"type":"string"},"detail":{"type":"string"}}}},
    "responses":{"Problem":{"description":"What went wrong (RFC 9457)","content":{"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}}}}}}
    """#
}
