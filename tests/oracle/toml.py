#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""toml.py OUT [N [SEED]] - TOML texts and what Python's tomllib makes of them, for tests/base/test_toml.c.

Hand-written ones for each rule, then N documents (250) made at random and as many of them broken at random
places. tests/golden/base/toml.json was made with Python 3.11; for a longer run:

    tests/oracle/toml.py /tmp/toml.json 20000 7 && CRIA_TOML_CASES=/tmp/toml.json build/tests/base/test_toml

What the reader refuses beyond tomllib counts as refused: date-times, integers beyond 64 bits, depth and length
that no random text here reaches.
"""
import datetime
import json
import math
import random
import sys
import tomllib

HAND = [
    "", "\n", "# only\n", "a = 1", "a = 1\r\nb = 2\r\n", "a = 1\rb = 2", "a = 1 # c\n", "a = 1 b = 2", "a\n= 1", "= 1", "a", "a =", "a = \n",
    "'a' = 1\n\"b\\n\" = 2\n1 = 3\n- = 4\n_ = 5\n'' = 6", "a.b.c = 1\na . d = 2\n'a'.\"e\" = 3", "a. = 1", ".a = 1", "a..b = 1", "a b = 1",
    "\u00e9 = 1", "'\u00e9' = '\u65e5\u672c'", "\"\"\"a\"\"\" = 1", "a = 1\na = 2", "a = 1\na.b = 2", "a.b = 1\na = 2", "a.b = 1\na.b = 2",
    "[a]\n[a]", "[a.b]\n[a]\nc = 1", "[a]\nb = 1\n[a.b]", "[a]\nb.c = 1\n[a.b]", "[a]\nb.c = 1\n[a.b.d]\ne = 1", "[a.b]\nc = 1\n[a]\nb.d = 2",
    "[a.b.c]\nx = 1\n[a]\nb.y = 2", "[a.b.c]\nx = 1\n[a]\nb.y = 2\n[a.b]", "[a.b.c]\nz = 9\n[a]\nb.c.t = 1", "a.b = 1\n[a]", "a.b = 1\n[a.c]\nd = 1",
    "[a]\n[a.b]\n[a.b.c]\n[d]", "[ a . 'b' ]\nc = 1", "[a]b = 1", "[a] # c", "[]", "[a.]", "[.a]", "[a", "[a]]", "[[a]", "[[a]]\n[[a]]\nb = 1",
    "[[a]]\n[a]", "[a]\n[[a]]", "[[a]]\n[a.b]\nc = 1\n[[a]]\n[a.b]\nc = 2", "[[a.b]]\nx = 1\n[[a.b]]\nx = 2\n[a]\ny = 1", "[[a.b]]\n[a]\nb.c = 1",
    "[[a]]\n[[a.b]]\n[[a.b]]\n[[a]]\n[[a.b]]", "a = []\n[[a]]", "a = [{}]\n[a.b]", "a = {}\n[a]", "a = {}\n[a.b]", "a = {}\na.b = 1", "a = {b = {}}\n[a.b.c]",
    "[a]\nb = {c = 1}\n[a.b]", "[ [a] ]", "[[ a ]]\nb = 1", "[[a]]\nb.c = 1\n[a.b]", "[[a]]\nb.c = 1\n[[a]]\nb.c = 2\n[a.d]\ne = 1",
    "a = {b = 1, c.d = 2, c.e = 3, 'f' = [1, {}]}", "a = {b = 1,}", "a = {b = 1\n}", "a = {,}", "a = {b}", "a = {b = 1 c = 2}", "a = {b = 1, b = 2}",
    "a = {b = {}, b.c = 1}", "a = {b.c = 1, b = {}}", "a = {b.c = {}, b.c.d = 1}", "a = {b = [\n1\n]}", "a = { }", "a = {", "a = {b = 1 # c\n}",
    "a = [1, 2,]", "a = [\n# c\n1, # d\n2\n,\n]", "a = [,]", "a = [1,,2]", "a = [1 2]", "a = [", "a = [1", "a = [[], [[]], ['x', 1.0, true]]", "a = [{b = 1}, {c = 2}]",
    "a = 'x", "a = \"x", "a = 'x\ny'", "a = \"x\ny\"", "a = 'C:\\x'", "a = \"\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\U0001F600\"", "a = \"\\x\"", "a = \"\\u00\"", "a = \"\\ud800\"", "a = \"\\U00110000\"",
    "a = \"\\e\"", "a = \"\\u0000\"", "a = \"\x01\"", "a = '\x7f'", "a = '\t'", "# \x01", "# \x7f", "# \t ok", "a = '\u0080'", "a = \"\\", "a = \"\\ \"",
    "a = '''x'''", "a = '''\nx\n'''", "a = '''\r\nx\r\n'''", "a = ''''x'''''", "a = ''''''", "a = '''''''", "a = ''''''''", "a = '''''''''", "a = '''x", "a = '''x''", "a = '''\\'''",
    "a = \"\"\"\"x\"\"\"\"\"", "a = \"\"\"x\\\n   \n  y\"\"\"", "a = \"\"\"x\\  \n y\"\"\"", "a = \"\"\"x\\  y\"\"\"", "a = \"\"\"\\\"\"\"\"", "a = \"\"\"x\\\"\"\"", "a = \"\"\"\\\n\"\"\"", "a = \"\"\"\\\r\n x\"\"\"",
    "a = \"\"\"\x00\"\"\"", "a = \"\"\"x\ry\"\"\"", "a = 0\nb = +0\nc = -0\nd = 99\ne = 1_000\nf = -9223372036854775808\ng = 9223372036854775807",
    "a = 9223372036854775808", "a = -9223372036854775809", "a = 01", "a = +01", "a = 1__0", "a = 1_", "a = _1", "a = 0x_1", "a = 0x", "a = 0xdead_BEEF\nb = 0o17\nc = 0b1_01",
    "a = 0X1", "a = -0x1", "a = +0b1", "a = 0b2", "a = 0o8", "a = 0xffffffffffffffff", "a = 0x7fffffffffffffff", "a = 00", "a = 0_0", "a = - 1", "a = --1", "a = 1.5\nb = -0.0\nc = 1e3\nd = 1E-2\ne = 6.626e-34\nf = 1_0.0_1e1_0",
    "a = 1.", "a = .5", "a = 1.e1", "a = 1e", "a = 1e+", "a = 1._0", "a = 1_.0", "a = 1.0e01", "a = 01.5", "a = 1e999\nb = -1e999\nc = 1e-999", "a = inf\nb = +inf\nc = -inf\nd = nan\ne = +nan\nf = -nan",
    "a = Inf", "a = infinity", "a = nan1", "a = 1.0.0", "a = 1e1.0", "a = true\nb = false", "a = True", "a = truex", "a = tru", "a = null", "a = yes", "a = x", "a = 1 #", "a = 1979-05-27", "a = 07:32:00", "a = 1979-05-27T07:32:00Z",
    "a = 1979", "a = 1979-", "a = 0:1", "\ufeffa = 1", "a = 1\n\ufeff", "a\u00a0= 1", "a = 1\u3000", "a = '\ufffe'", "a = 1;", "a : 1", "a = b", "a = [1]\n[a]", "a.b = [1]\n[a.b.c]", "[a]\n\n\n[b]\n\n", " [a]\n\tb = 1\n  [a.c]\n",
]
BYTES = [b"a = '\xff'", b"a = '\xc0\x80'", b"a = '\xed\xa0\x80'", b"a = '\xf4\x90\x80\x80'", b"# \xe2\x82", b"a = 1\x00", b"\x00", b"a = 1\n\x00b = 2", b"\xef\xbb\xbf"]


class Maker:
    def __init__(self, rng):
        self.r = rng

    def bare(self):
        return self.r.choice(["a", "b", "c", "d", "e-f", "1", "_"])

    def part(self):
        k = self.bare()
        return self.r.choice([k, k, k, f'"{k}"', f"'{k}'", f'"{k}\\u00e9"', '""'])

    def key(self, most=3):
        dot = self.r.choice([".", ".", " . "])
        return dot.join(self.part() for _ in range(1 + self.r.choice([0, 0, 0, 1, most - 1])))

    def string(self):
        body = "".join(self.r.choice(["a", " ", "\u65e5", "#", "=", "[", "]", ",", "\t"]) for _ in range(self.r.randrange(6)))
        quote = self.r.choice(['"', "'", '"""', "'''"])
        if len(quote) == 3:
            body = self.r.choice(["", "\n", "\r\n"]) + body + self.r.choice(["", "\nx", "\n", quote[0], 2 * quote[0]])
        if quote[0] == '"':
            body = self.r.choice(["", "\\n", "\\\\", "\\u65e5", "\\U0001F600", "\\t\\\""]) + body
            if len(quote) == 3:
                body = body.replace(" ", self.r.choice([" ", "\\\n  ", "\\ \n\n"]))
        return quote + body + quote

    def number(self):
        return self.r.choice([
            lambda: str(self.r.randrange(-1000, 1000)), lambda: f"{self.r.randrange(10**6):_}", lambda: hex(self.r.getrandbits(62)),
            lambda: oct(self.r.getrandbits(20)), lambda: bin(self.r.getrandbits(8)), lambda: repr(self.r.gauss(0, 10)),
            lambda: f"{self.r.random():.3e}", lambda: f"+{self.r.random() * 1e9:_.2f}", lambda: str(self.r.getrandbits(64) - 2**63), lambda: self.r.choice(["inf", "-nan", "+inf", "0.0", "-0"])])()

    def gap(self):
        return self.r.choice(["", " ", "\n", "\n# c\n", "  "])

    def value(self, depth):
        kind = self.r.randrange(9 if depth < 4 else 6)
        if kind < 2:
            return self.string()
        if kind < 5:
            return self.number()
        if kind == 5:
            return self.r.choice(["true", "false"])
        if kind < 8:
            items = [self.gap() + self.value(depth + 1) + self.gap() for _ in range(self.r.randrange(4))]
            return "[" + ",".join(items) + (self.r.choice(["", ","]) if items else "") + self.gap() + "]"
        return "{" + self.r.choice([", ", ","]).join(f"{self.key(2)} = {self.value(depth + 1)}" for _ in range(self.r.randrange(3))) + "}"

    def document(self):
        out, end = [], self.r.choice(["\n", "\n", "\r\n"])
        for _ in range(self.r.randrange(1, 9)):
            kind = self.r.randrange(10)
            if kind == 0:
                out.append("# " + self.string().split("\n")[0].rstrip("\r"))
            elif kind == 1:
                out.append("")
            elif kind == 2:
                out.append(f"[{self.key()}]")
            elif kind == 3:
                out.append(f"[[{self.key(2)}]]")
            else:
                out.append(f"{self.key()}{self.r.choice([' = ', '=', '  = '])}{self.value(0)}{self.r.choice(['', '', ' # c'])}")
        return end.join(out) + self.r.choice(["", end])

    def broken(self, text):
        for _ in range(self.r.randrange(1, 3)):
            i, what = self.r.randrange(len(text) + 1), self.r.choice("[]{}=.,\"'\\#\n\r\t _-+0x1eE:\x00\x7f\u00e9")
            kind = self.r.randrange(4)
            if kind == 0:
                text = text[:i] + text[i + 1:]
            elif kind == 1:
                text = text[:i] + what + text[i:]
            elif kind == 2:
                text = text[:i] + what + text[i + 1:]
            else:
                j = self.r.randrange(len(text) + 1)
                text = text[:min(i, j)] + text[max(i, j):] if abs(i - j) < 8 else text[:i]
        return text


class Beyond(Exception):
    pass


def plain(v):
    """As JSON; what JSON lacks becomes an object of the one key "$"."""
    if isinstance(v, (datetime.date, datetime.time)):
        raise Beyond
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, list):
        return [plain(x) for x in v]
    if isinstance(v, int) and not isinstance(v, bool) and not -2**63 <= v < 2**63:
        raise Beyond
    if isinstance(v, float) and not math.isfinite(v):
        return {"$": "nan" if v != v else "inf" if v > 0 else "-inf"}
    return v


def case(data):
    c = {}
    try:
        text = data.decode()
        c["toml"] = text
    except UnicodeDecodeError:
        return {"hex": data.hex()}
    try:
        c["want"] = plain(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, Beyond):
        pass
    return c


def main():
    n, seed = [int(x) for x in sys.argv[2:4]] + [250, 1][len(sys.argv) - 2:]
    make = Maker(random.Random(seed))
    texts = [t.encode() for t in HAND] + BYTES
    for _ in range(n):
        d = make.document()
        texts += [d.encode(), make.broken(d).encode("utf-8", "surrogatepass")]
    cases = [case(t) for t in texts]
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write('{"made_with": "Python ' + sys.version.split()[0] + '", "cases": [\n')
        f.write(",\n".join(json.dumps(c) for c in cases) + "\n]}\n")
    print(f"{len(cases)} texts, {sum('want' in c for c in cases)} taken")


main()
