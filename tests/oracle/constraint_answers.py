#!/usr/bin/env python3
"""constraint_answers.py FILE - are answers made by chance under a mask what their schemas ask for?

FILE is what `CRIA_ANSWERS=FILE tests/infer/test_constraint` writes: lines "row TAB schema TAB bytes",
each with the answer behind it. jsonschema decides, formats checked; exit status 1 if one fails.
"""
import json
import sys

import jsonschema

n = bad = 0
with open(sys.argv[1], "rb") as f:
    while line := f.readline():
        _, schema, n_bytes = line.decode().rstrip("\n").split("\t")
        text = f.read(int(n_bytes)).decode()
        f.readline()
        n += 1
        v = jsonschema.Draft202012Validator(json.loads(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        try:
            v.validate(json.loads(text))
        except Exception as e:
            bad += 1
            print("does not fit:", text[:200], str(e)[:200])
print(n, "answers,", bad, "do not fit; jsonschema", __import__("importlib.metadata").metadata.version("jsonschema"))
sys.exit(bad > 0)
