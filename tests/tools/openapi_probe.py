#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""openapi_probe.py URL KEY LOG - what /openapi.json says of bodies, tried on the server that serves it. Prints TAP lines.

For each path that takes a body: the document's example is answered with 200; each property with a value of a type
that the document does not allow is a 400 that names it; with a number beyond its range, too; a field that nobody
knows changes nothing, and the line of the log names it. Responses are kept in the order of the document, so that an
adapter is loaded before it is unloaded.
"""
import json
import sys
import time
import urllib.error
import urllib.request

url, key, log = sys.argv[1:4]
WRONG = {"boolean": True, "integer": 1, "number": 1.5, "string": "\x00", "array": [[[]]], "object": {"no_such": [[]]}}


def call(method, path, body=None, headers={}):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Authorization": "Bearer " + key, **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


doc = json.loads(call("GET", "/openapi.json")[1])


def resolved(schema):
    while "$ref" in schema:
        at = doc
        for part in schema["$ref"].split("/")[1:]:
            at = at[part]
        schema = at
    return schema


def type_of(value):
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


def types(schema):
    """The types that a value may have."""
    schema = resolved(schema)
    got = set()
    if "type" in schema:
        got |= {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    elif "enum" in schema or "const" in schema:
        got |= {type_of(v) for v in schema.get("enum", [schema.get("const")])}
    elif "anyOf" in schema:
        for s in schema["anyOf"]:
            got |= types(s)
    else:
        got |= set(WRONG) | {"null"}
    return got | ({"integer"} if "number" in got else set())


def wrong_values(schema):
    schema = resolved(schema)
    allowed = types(schema)
    values = [v for t, v in WRONG.items() if t not in allowed and not (t == "number" and "integer" in allowed)]
    if "integer" in allowed and "number" not in allowed and "anyOf" not in schema:
        values.append(1.5)
    if abs(schema.get("minimum", 1e30)) < 1e15:
        values += [schema["minimum"] - 1, schema["maximum"] + 1]
    if "enum" in schema:
        values.append("no_such_word")
    return values


def names_field(answer, name):
    e = json.loads(answer)["error"]
    said = e["param"] if "param" in e else e["message"]
    return (said or "").startswith(name)


def tell(faults, what):
    print(f"{'not ok' if faults else 'ok'} {what}", flush=True)
    for f in faults[:10]:
        print("# " + f)


# not the adapters' paths, whose names are files of this machine, nor the chat's, which is the page's
for path, item in doc["paths"].items():
    body = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
    if not body:
        continue
    example, properties = body["example"], resolved(body["schema"])["properties"]
    required = resolved(body["schema"]).get("required", [])
    if "lora" not in path:
        status, answer = call("POST", path, example)
        tell([] if status == 200 else [f"{status} {answer[:300]}"], f"{path}: the example")
    faults, n = [], 0
    for name, schema in properties.items():
        for value in wrong_values(schema):
            status, answer = call("POST", path, {**example, name: value})
            n += 1
            if status != 400 or not names_field(answer, name):
                faults.append(f"{name}: {json.dumps(value)}: {status} {answer[:200]}")
    for name in required:
        status, answer = call("POST", path, {k: v for k, v in example.items() if k != name})
        n += 1
        if status != 400 or not names_field(answer, name):
            faults.append(f"without {name}: {status} {answer[:200]}")
    tell(faults if n else ["nothing to try"], f"{path}: wrong values are refused by name")
    call("POST", path, {**example, "no_such_field": 1}, {"X-Request-Id": "unknown" + path.replace("/", ".")})
    for _ in range(50):
        lines = [s for s in open(log) if f"id=unknown{path.replace('/', '.')} " in s]
        if lines:
            break
        time.sleep(0.1)
    tell([] if lines and "ignored=no_such_field" in lines[0] else lines or ["no line"], f"{path}: an unknown field is told in the log")
