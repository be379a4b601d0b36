"""build.py OUT FILE... - puts the parts of the OpenAPI document together, for the build.

The parts are what is written by hand; this only saves repeating. "=Schema.property" (or "=property" of the same
schema) as a value is a copy of that property, "x-properties-of" names a schema whose properties come first, and
"x-refusals" lists the statuses whose answer is an error. A name that is there twice or not at all ends the build.
"""
import json, sys


def unique(pairs):
    d = dict(pairs)
    assert len(d) == len(pairs), f"a key is there twice: {[k for k, _ in pairs]}"
    return d


def join(to, more):
    for key, value in more.items():
        if isinstance(to.get(key), dict) and isinstance(value, dict):
            join(to[key], value)
        else:
            assert key not in to, f"{key} is there twice"
            to[key] = value


doc = {}
for path in sys.argv[2:]:
    join(doc, json.load(open(path), object_pairs_hook=unique))
schemas = doc["components"]["schemas"]


def copied(value, home):
    """`value` with what it names in place of the names; `home` is the schema it stands in."""
    if isinstance(value, str) and value.startswith("="):
        name, _, field = value[1:].rpartition(".")
        return copied(schemas[name or home]["properties"][field], name or home)
    if isinstance(value, list):
        return [copied(v, home) for v in value]
    if isinstance(value, dict):
        return {k: copied(v, home) for k, v in value.items()}
    return value


def check_refs(value):
    if isinstance(value, list):
        for v in value:
            check_refs(v)
    elif isinstance(value, dict):
        at = doc
        for part in value["$ref"].split("/")[1:] if isinstance(value.get("$ref"), str) else []:
            at = at[part]
        for v in value.values():
            check_refs(v)


doc["components"]["schemas"] = {name: copied(s, name) for name, s in schemas.items()}
schemas = doc["components"]["schemas"]
for s in schemas.values():
    if base := s.pop("x-properties-of", None):
        s["properties"] = schemas[base]["properties"] | s["properties"]
for path, item in doc["paths"].items():
    for operation in item.values():
        if not isinstance(operation, dict):
            continue
        name = "AnthropicRefusal" if "messages" in operation["tags"] else "Refusal"
        for status in operation["responses"].pop("x-refusals"):
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
check_refs(doc)
json.dump(doc, open(sys.argv[1], "w"), separators=(",", ":"), ensure_ascii=True)
