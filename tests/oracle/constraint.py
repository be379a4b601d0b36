#!/usr/bin/env python3
"""constraint.py - which texts fit which schemas and expressions, by other programs.

Writes tests/golden/infer/constraint.jsonl: one case a line, {"kind", "source", "text", "fits"}.
For "schema" the text is JSON and jsonschema says whether it fits (formats checked); for "regex"
Python's re does, on the whole text. A case with "only": true is one that fits but that we may
refuse (another order of properties, other white space): it must not be accepted wrongly, which is
what the others test.

Made with jsonschema 4.x and Python 3.11; the versions stand in the first line.
"""
import json
import re
import sys
import uuid
from importlib.metadata import version

import jsonschema

OBJ = {"type": "object", "additionalProperties": False}


def obj(props, required=None, **more):
    return {**OBJ, "properties": props, "required": list(props) if required is None else required, **more}


S = {"type": "string"}
I = {"type": "integer"}
TREE = {"$defs": {"n": obj({"v": I, "kids": {"type": "array", "items": {"$ref": "#/$defs/n"}}})}, "$ref": "#/$defs/n"}
LIST = {"$defs": {"l": {"anyOf": [{"type": "null"}, obj({"head": I, "tail": {"$ref": "#/$defs/l"}})]}}, "$ref": "#/$defs/l"}

# schema, then instances; jsonschema decides which fit
SCHEMAS = [
    (S, ["", "a", "é€😀", 'q"\\\n\x01\x7f', 1, None, ["a"], {}]),
    (I, [0, -1, 12345, 1.5, "1", True, None]),
    ({"type": "number"}, [0, -0.5, 1e10, 3.25, "x", None, False]),
    ({"type": "boolean"}, [True, False, 0, "true", None]),
    ({"type": "null"}, [None, 0, False, ""]),
    ({"type": ["string", "null"]}, ["x", None, 1, [], True]),
    ({"type": "array"}, [[], [1, "a", None, [True]], {}, "[]", 1]),
    ({"type": "object"}, [{}, {"a": 1}, {"a": {"b": []}}, [], "x"]),
    (True, [1, "a", None, {"x": [1]}, False]),
    ({}, [1, "a", None, {"x": [1]}, False]),
    (obj({"a": S, "b": I}), [{"a": "x", "b": 1}, {"a": "x"}, {"b": 1}, {}, {"a": 1, "b": 1}, {"a": "x", "b": 1, "c": 2}]),
    (obj({"a": S, "b": I, "c": I}, ["b"]), [{"b": 1}, {"a": "x", "b": 1}, {"b": 1, "c": 2}, {"a": "x", "b": 1, "c": 3}, {"a": "x"}, {"c": 1}, {}]),
    (obj({"a": S, "b": I}, []), [{}, {"a": "x"}, {"b": 1}, {"a": "x", "b": 2}, {"d": 1}]),
    ({"type": "object", "properties": {"a": S}, "required": ["a"], "additionalProperties": I},
     [{"a": "x"}, {"a": "x", "b": 1}, {"a": "x", "b": 1, "c": 2}, {"a": "x", "b": "y"}, {"b": 1}, {"a": "x", "aa": 1}, {"a": "x", "": 3}, {"a": "x", "b\n": 3}]),
    ({"type": "object", "additionalProperties": {"type": "boolean"}}, [{}, {"x": True}, {"x": True, "y": False}, {"x": 1}]),
    ({"type": "object", "properties": {"ab": S, "ac": S}, "additionalProperties": I},
     [{"ab": "x"}, {"ab": "x", "ac": "y"}, {"abc": 1}, {"a": 1}, {"ad": 2}, {"ab": 1}, {"ac": 1}, {"b": 1}, {"é": 1}]),
    ({"type": "object", "required": ["z"], "properties": {"y": I}, "additionalProperties": True}, [{"y": 1, "z": 2}, {"y": 1}, {"z": "q"}]),
    (obj({f"p{i}": I for i in range(15)}, ["p14"]), [{"p14": 1}, {"p0": 1, "p14": 1}, {"p3": 1, "p9": 2, "p14": 1}, {"p3": 1}, {f"p{i}": i for i in range(15)}]),
    (obj({f"p{i}": I for i in range(15)}, []), [{}, {"p0": 1}, {"p14": 1}, {"p2": 1, "p13": 1}, {"q": 1}]),
    ({"type": "array", "items": I}, [[], [1], [1, 2, 3], ["a"], [1, "a"], [None]]),
    ({"type": "array", "items": I, "minItems": 2, "maxItems": 3}, [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]),
    ({"type": "array", "items": I, "maxItems": 0}, [[], [1]]),
    ({"type": "array", "items": I, "minItems": 1}, [[], [1], [1, 2]]),
    ({"type": "array", "prefixItems": [S, I]}, [[], ["a"], ["a", 1], ["a", 1, None], [1], ["a", "b"]]),
    ({"type": "array", "prefixItems": [S, I], "items": False}, [[], ["a"], ["a", 1], ["a", 1, 2]]),
    ({"type": "array", "prefixItems": [S, I], "items": {"type": "null"}, "minItems": 2, "maxItems": 4},
     [["a"], ["a", 1], ["a", 1, None], ["a", 1, None, None], ["a", 1, None, None, None], ["a", 1, 2]]),
    ({"type": "array", "prefixItems": [S, I, S], "maxItems": 2}, [[], ["a"], ["a", 1], ["a", 1, "b"]]),
    ({"type": "array", "items": {"type": "array", "items": I}}, [[], [[]], [[1], [2, 3]], [1], [["a"]]]),
    ({"type": "string", "minLength": 2, "maxLength": 4}, ["", "a", "ab", "abcd", "abcde", "éé", "😀", "😀😀", 'a"', "\n\n"]),
    ({"type": "string", "minLength": 3}, ["ab", "abc", "abcdefgh"]),
    ({"type": "string", "maxLength": 0}, ["", "a"]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["", "abc", "Abc", "abc1", "a b"]),
    ({"type": "string", "pattern": "ab"}, ["ab", "xaby", "a", "", "AB", 'a"ab"']),
    ({"type": "string", "pattern": "^a|b$"}, ["a", "axx", "xxb", "b", "xbx", "xa", "ba"]),
    ({"type": "string", "pattern": "^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$"}, ["555-1212", "(888)555-1212", "(888)555-1212 x", "5551212"]),
    ({"type": "string", "pattern": "^\"[^\"\\\\]*\"$"}, ['"a"', '""', '"', '"a"b"', '"\\"']),
    ({"type": "string", "pattern": "^\\S+@\\S+$"}, ["a@b", "a b@c", "@", "x@y z"]),
    ({"type": "string", "pattern": "^[^x]{1,3}$"}, ["a", "aé\n", "abcd", "x", ""]),
    ({"type": "string", "format": "date"}, ["2024-02-29", "2023-02-29", "2023-02-28", "2000-02-29", "1900-02-29", "2023-04-31", "2023-12-31", "2023-13-01", "0000-01-01", "x", "2023-1-1"]),
    ({"type": "string", "format": "date-time"}, ["2024-02-29T12:30:00Z", "2024-02-29T12:30:00.123+02:00", "2024-02-30T12:30:00Z", "2024-02-29", "2024-02-29T24:30:00Z", "2024-02-29T12:30:00"]),
    ({"type": "string", "format": "time"}, ["12:30:00Z", "23:59:59+01:30", "25:00:00Z", "12:30Z", "noon"]),
    ({"type": "string", "format": "email"}, ["a@b.de", "first.last+tag@sub.example.org", "a"]),
    ({"type": "string", "format": "ipv4"}, ["1.2.3.4", "255.255.255.255", "256.1.1.1", "1.2.3", "01.2.3.4"]),
    ({"type": "string", "format": "ipv6"}, ["::", "::1", "2001:db8::ff00:42:8329", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1::2::3", "fe80::12345"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"]),
    ({"type": "integer", "minimum": 0, "maximum": 130}, [-1, 0, 9, 10, 99, 100, 129, 130, 131, 1000]),
    ({"type": "integer", "minimum": -25, "maximum": 17}, [-26, -25, -24, -9, -1, 0, 9, 17, 18]),
    ({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 8}, [5, 6, 7, 8]),
    ({"type": "integer", "minimum": 137}, [136, 137, 138, 199, 200, 999, 1000, 123456789]),
    ({"type": "integer", "maximum": -37}, [-36, -37, -38, -100, 5]),
    ({"type": "integer", "minimum": 2.5, "maximum": 4.5}, [2, 3, 4, 5]),
    ({"type": "integer", "multipleOf": 7}, [0, 7, 14, 21, 70, 71, -7, -8, 7777]),
    ({"type": "integer", "multipleOf": 5, "minimum": -10, "maximum": 20}, [-15, -10, -5, 0, 5, 7, 20, 25]),
    ({"type": "number", "minimum": 0, "maximum": 1}, [-0.1, 0, 0.5, 1, 1.0001, 0.999, 2]),
    ({"type": "number", "minimum": -1.5, "maximum": 2.25}, [-1.51, -1.5, -1.49, -1, -0.25, 0, 1.99, 2, 2.2, 2.25, 2.251, 2.3, 3]),
    ({"type": "number", "exclusiveMinimum": 0}, [0, 0.001, 1, -1, 100.5]),
    ({"type": "number", "exclusiveMaximum": 10}, [9.999, 10, 10.5, -3, 0]),
    ({"type": "number", "minimum": 3.1, "maximum": 3.19}, [3, 3.1, 3.15, 3.19, 3.2, 3.11, 3.099]),
    ({"type": "number", "maximum": -0.5}, [-0.4, -0.5, -0.51, -1, -77.5, 0, 1]),
    ({"enum": ["a", "b", 1, 2.5, None, True, {"k": [1, "x"]}]}, ["a", "b", "c", 1, 2, 2.5, None, True, False, {"k": [1, "x"]}, {"k": [1]}]),
    ({"type": "string", "enum": ["a", 1]}, ["a", 1]),
    ({"const": "x\"y"}, ["x\"y", "x"]),
    ({"const": {"a": [1, 2]}}, [{"a": [1, 2]}, {"a": [1]}, {}]),
    ({"anyOf": [S, I]}, ["a", 1, None, 1.5]),
    ({"anyOf": [obj({"a": I}), obj({"a": I, "b": I})]}, [{"a": 1}, {"a": 1, "b": 2}, {"b": 1}, {}]),
    ({"oneOf": [S, I, {"type": "null"}]}, ["a", 1, None, []]),
    ({"oneOf": [obj({"t": {"const": "x"}, "v": I}), obj({"t": {"const": "y"}, "v": S})]}, [{"t": "x", "v": 1}, {"t": "y", "v": "s"}, {"t": "x", "v": "s"}, {"t": "z", "v": 1}]),
    ({"oneOf": [obj({"a": I}), obj({"b": I})]}, [{"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {}]),
    ({"allOf": [{"type": "object", "properties": {"a": I}, "required": ["a"]}, {"type": "object", "properties": {"b": S}, "required": ["b"]}]},
     [{"a": 1, "b": "x"}, {"a": 1}, {"b": "x"}, {"a": "x", "b": "x"}]),
    ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}, [2, 3, 5, 6, "3"]),
    ({"allOf": [{"$ref": "#/$defs/a"}, {"maxLength": 3}], "$defs": {"a": {"type": "string", "minLength": 2}}}, ["a", "ab", "abc", "abcd"]),
    ({"type": "string", "anyOf": [{"minLength": 5}, {"maxLength": 2}]}, ["ab", "abc", "abcde", 5]),
    (TREE, [{"v": 1, "kids": []}, {"v": 1, "kids": [{"v": 2, "kids": [{"v": 3, "kids": []}]}]}, {"v": 1}, {"v": 1, "kids": [1]}]),
    (LIST, [None, {"head": 1, "tail": None}, {"head": 1, "tail": {"head": 2, "tail": None}}, {"head": 1}, {"head": 1, "tail": 2}]),
    ({"$defs": {"a/b": S, "c~d": I}, "type": "object", "properties": {"x": {"$ref": "#/$defs/a~1b"}, "y": {"$ref": "#/$defs/c~0d"}}, "required": ["x", "y"]},
     [{"x": "s", "y": 1}, {"x": 1, "y": 1}]),
    (obj({"a\"b": I, "é": I, "\n": I}), [{"a\"b": 1, "é": 2, "\n": 3}, {"a\"b": 1}]),
    (obj({"a": obj({"b": obj({"c": {"type": "array", "items": obj({"d": S})}})})}), [{"a": {"b": {"c": [{"d": "x"}, {"d": ""}]}}}, {"a": {"b": {"c": [{"d": 1}]}}}]),
    ({"type": "object", "properties": {"a": False, "b": I}, "required": ["b"], "additionalProperties": False}, [{"b": 1}, {"a": 1, "b": 1}]),
    ({"type": "object", "properties": {"a": I}, "title": "T", "description": "d", "default": {}, "examples": [1], "$comment": "c"}, [{"a": 1}, {"a": "x"}]),
    ({"type": "object", "properties": {"a": I, "b": I}, "required": ["a"], "additionalProperties": False, "minProperties": 1, "maxProperties": 2}, [{"a": 1}, {"a": 1, "b": 1}, {"b": 1}]),
]

# instances that fit and that we refuse, by design
NARROWER = [
    ({"type": "object", "properties": {"a": I}}, {"a": 1, "z": 2}),
    (True, 1e300),
    ({"type": "string", "format": "email"}, "@b.de"),
    ({"properties": {"a": S}}, 5),
]

REGEXES = [
    ("abc", ["abc", "ab", "abcd", ""]),
    ("a*b+c?", ["b", "aab", "bbc", "a", "c", "abcc"]),
    ("(ab|c){2,3}", ["abc", "cc", "ccc", "cccc", "ab"]),
    ("[a-cx-z]+", ["abcxyz", "d", ""]),
    ("[^a-c]{2}", ["de", "ad", "é\n", "d"]),
    ("a.c", ["abc", "a\nc", "aéc", "ac"]),
    ("\\d{3}-\\d{4}", ["123-4567", "1234567", "12-3456"]),
    ("\\w+@\\w+\\.(com|org)", ["a@b.com", "a_1@b2.org", "a@b.net"]),
    ("^start.*end$", ["startend", "start middle end", "start"]),
    ("(?:a|b)(?P<n>c)?", ["a", "bc", "c"]),
    ("a{2}", ["a", "aa", "aaa"]),
    ("a{2,}", ["a", "aa", "aaaa"]),
    ("a+?b*?", ["a", "ab", "aabb", "b"]),
    ("\\x41\\u00e9\\t", ["Aé\t", "A"]),
    ("[\\]\\-\\\\]", ["]", "-", "\\", "a"]),
    ("[-a]", ["-", "a", "b"]),
    ("[a-]", ["-", "a", "b"]),
    ("\\$\\^\\.\\*", ["$^.*", "x"]),
    ("", ["", "a"]),
    ("a|", ["a", "", "b"]),
    ("(a|b)*abb", ["abb", "aabb", "babb", "ab", "abba"]),
    ("((a*)*)*b", ["b", "aaab", "a"]),
    ("\\s\\S", [" a", "\ta", "aa", "  "]),
    ("[€-₿]", ["€", "₿", "$", "a"]),
    ("[\\d.]+", ["1.5", "..", "a"]),
    ("x{0}y", ["y", "xy"]),
    ("[😀-😎]{1,2}", ["😀", "😎😀", "a"]),
    ("a{,2}", ["a{,2}", "aa"]),
    ("{", ["{", ""]),
]


def main():
    out = [{"jsonschema": version("jsonschema"), "python": sys.version.split()[0]}]
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for schema, instances in SCHEMAS:
        v = jsonschema.Draft202012Validator(schema, format_checker=checker)
        for x in instances:
            out.append({"kind": "schema", "source": json.dumps(schema, ensure_ascii=False), "text": json.dumps(x, ensure_ascii=False), "fits": v.is_valid(x)})
    for schema, x in NARROWER:
        assert jsonschema.Draft202012Validator(schema).is_valid(x)
        out.append({"kind": "schema", "source": json.dumps(schema, ensure_ascii=False), "text": json.dumps(x, ensure_ascii=False), "fits": True, "only": True})
    for regex, texts in REGEXES:
        for t in texts:
            if regex == "a{,2}":  # a literal in ECMA-262
                fits = t == regex
            else:
                fits = re.fullmatch(regex, t, re.ASCII) is not None
            out.append({"kind": "regex", "source": regex, "text": t, "fits": fits})
    with open(sys.argv[1], "w") as f:
        for row in out:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(len(out) - 1, "cases", sum(r.get("fits", False) for r in out), "fit")


if __name__ == "__main__":
    main()
