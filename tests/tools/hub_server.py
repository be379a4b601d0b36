#!/usr/bin/env python3
"""hub_server.py - plays the Hugging Face hub on 127.0.0.1, with every bad habit a test asks for.

    hub_server.py [--log FILE]

prints its address as one line and serves until its standard input is closed (so it ends with the
test that started it). The repository's name says how it behaves: OWNER is anything, REPO is

    tiny       a model directory with files that nobody needs beside it
    gguf       GGUF files only, one of them split (a third part of another one is missing)
    gated      tells its listing, but gives files only to the token "secret"
    moved      redirects weights to another host name (localhost instead of 127.0.0.1)
    cut        cuts the connection in the middle of weights, three times a file
    busy       503 twice, then as tiny;  limit: 429 with Retry-After: 1 once;  forever: always 503
    norange    ignores Range;  noetag: gives no ETag;  changed: another ETag each time
    slow       20 kB/s;  stall: sends half and then nothing, once a file
    wrong      sends wrong bytes;  long: more than it promises;  page: a login page instead
    badrange   answers a Range with other bytes;  stale: 416 to every Range
    loop       redirects without end;  down: redirects to ftp://
    dotdot absolute control huge nospace nosum badjson notlist endless   hostile listings
    paged      a listing of three pages

Everything else is 404. Each request is a line in the log: method, path, Range, If-Range, whether it
had a token, the status. Python's standard library only (3.9 and later).
"""
import argparse
import functools
import hashlib
import http.server
import json
import random
import re
import sys
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BIG = 300_000  # bytes of a weights file; larger than a socket buffer's first answer
LIKE_TINY = """gated moved cut busy limit forever norange noetag changed slow stall wrong long page
badrange stale loop down paged Llama-3.2-1B-Instruct Meta-Llama-3-8B-Instruct""".split()
HOSTILE = "dotdot absolute control huge nospace nosum badjson notlist endless".split()
TINY = {
    ".gitattributes": 100, "LICENSE": 500, "README.md": 300, "USE_POLICY.md": 10, "config.json": 700,
    "generation_config.json": 120, "special_tokens_map.json": 60, "tokenizer.json": 20_000,
    "tokenizer_config.json": 900, "empty/.keep": 0, "chat_template.jinja": 0,
    "model-00001-of-00002.safetensors": BIG, "model-00002-of-00002.safetensors": BIG // 2,
    "model.safetensors.index.json": 800, "consolidated.safetensors": BIG, "pytorch_model.bin": BIG,
    "onnx/model.onnx": BIG, "original/consolidated.00.pth": BIG,
}
GGUF = {
    "README.md": 300, "Tiny-Q8_0.gguf": BIG, "Tiny Q4 #1.gguf": 1000,
    "split/Big-00001-of-00002.gguf": 5000, "split/Big-00002-of-00002.gguf": 4000,
    "Hole-00001-of-00002.gguf": 10,
}


@functools.cache
def content(path, n_bytes):
    return random.Random(path).randbytes(n_bytes)


def files_of(repo):
    if repo == "tiny" or repo in LIKE_TINY:
        return TINY
    if repo in HOSTILE:
        return {"config.json": 700, "model.safetensors": 1000}
    return GGUF if repo == "gguf" else None


@functools.cache
def row(path, n_bytes):
    data = content(path, n_bytes)
    oid = hashlib.sha1(b"blob %d\0" % n_bytes + data).hexdigest()
    out = {"type": "file", "oid": oid, "size": n_bytes, "path": path}
    if re.search(r"\.(safetensors|gguf|bin|onnx|pth)$", path):
        out["oid"] = "0" * 40  # of the pointer file
        out["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": n_bytes, "pointerSize": 130}
    return out


def tree(repo):
    rows = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "onnx"}]
    rows += [row(path, n) for path, n in files_of(repo).items()]
    extra = {"dotdot": "../../evil.safetensors", "absolute": "/tmp/evil.safetensors",
             "control": "evil\x1b[2J.safetensors"}.get(repo)
    if extra:
        rows.append(dict(row("model.safetensors", 10), path=extra))
    if repo in HOSTILE:
        rows[-1] = json.loads(json.dumps(rows[-1]))  # a copy, to be spoiled
    if repo == "huge":
        rows[-1]["lfs"]["size"] = 1 << 62
    if repo == "nospace":
        rows[-1]["lfs"]["size"] = 1 << 43
    if repo == "nosum":
        rows[-1]["lfs"]["oid"] = "not-a-sum"
    return rows


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen = {}  # (what) -> how often
    lock = threading.Lock()
    log_file = None

    def count(self, *what):
        with Hub.lock:
            Hub.seen[what] = Hub.seen.get(what, 0) + 1
            return Hub.seen[what]

    def log_message(self, *args):
        pass

    def note(self, status):
        if not Hub.log_file:
            return
        token = "token" if self.headers.get("Authorization") else "-"
        with Hub.lock:
            print(self.command, self.headers.get("Host", "-").split(":")[0], self.path,
                  self.headers.get("Range", "-"), self.headers.get("If-Range", "-"), token, status,
                  file=Hub.log_file, flush=True)

    def reply(self, status, body=b"", **headers):
        self.note(status)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code):
        self.reply(status, b'{"error": "no"}', X_Error_Code=code)

    def do_GET(self):
        try:
            self.route()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        api = re.fullmatch(r"/api/models/([^/]+)/([^/]+)(?:/(revision|tree)/(.+))?", path)
        get = re.fullmatch(r"/(cdn/)?([^/]+)/([^/]+)/resolve/([^/]+)/(.+)", path)
        if api:
            self.ask(api[2], api[3], api[4], urllib.parse.parse_qs(url.query))
        elif get:
            self.give(get[3], get[4], get[5], bool(get[1]))
        else:
            self.reply(404)

    # ---- the two questions ----
    def ask(self, repo, what, revision, query):
        if files_of(repo) is None:
            # As the hub does: who has no token is not told what exists.
            self.refuse(404 if self.headers.get("Authorization") else 401, "RepoNotFound")
        elif what != "tree" and revision not in (None, "main", "v1.0", "refs/pr/1", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif what != "tree":
            siblings = [{"rfilename": path} for path in files_of(repo)]
            body = json.dumps({"id": "owner/" + repo, "sha": COMMIT, "siblings": siblings})
            self.reply(200, body.encode(), Content_Type="application/json")
        elif repo == "badjson":
            self.reply(200, json.dumps(tree(repo)).encode()[:-20])
        elif repo == "notlist":
            self.reply(200, b'{"sha": 1}')
        else:
            rows = tree(repo)
            page = int(query.get("cursor", ["0"])[0])
            if repo == "paged":
                n = (len(rows) + 2) // 3
                more, rows = page < 2, rows[page * n:(page + 1) * n]
            else:
                more = repo == "endless"
            # The address is somebody else's: only its query may be believed.
            link = {"Link": f'<http://elsewhere.invalid/x?recursive=1&cursor={page + 1}>; rel="next"'}
            self.reply(200, json.dumps(rows).encode(), **(link if more else {}))

    # ---- files ----
    def give(self, repo, revision, path, is_cdn):
        n_bytes = (files_of(repo) or {}).get(path)
        if n_bytes is None or revision not in ("main", COMMIT):
            self.refuse(404, "EntryNotFound")
            return
        token = self.headers.get("Authorization")
        if repo == "gated" and token != "Bearer secret":
            self.refuse(403 if token else 401, "GatedRepo")
            return
        data = content(path, n_bytes)
        is_big = path.endswith((".safetensors", ".gguf"))
        if repo == "loop":
            self.reply(302, Location=self.path)
        elif repo == "down":
            self.reply(302, Location="ftp://127.0.0.1/file")
        elif repo == "moved" and is_big and not is_cdn:
            self.reply(302, b"moved", X_Linked_Size=str(n_bytes),
                       X_Linked_ETag='"' + hashlib.sha256(data).hexdigest() + '"',
                       Location=f"http://localhost:{self.server.server_port}/cdn{self.path}?sig=1")
        elif repo == "forever" or (repo == "busy" and self.count(repo, path) <= 2):
            self.reply(503, b"busy")
        elif repo == "limit" and self.count(repo, path) <= 1:
            self.reply(429, b"slowly", Retry_After="1")
        elif repo == "page" and is_big:
            self.reply(200, b"<html>please log in</html>", Content_Type="text/html")
        else:
            self.send_file(repo, path, data, is_big)

    def send_file(self, repo, path, data, is_big):
        etag = '"' + hashlib.md5(data).hexdigest() + '"'
        if repo == "changed":
            etag = f'"{self.count(repo, path)}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(wanted[1]) if wanted else 0
        if repo == "stale" and begin:
            self.refuse(416, "Range")
            return
        if repo == "norange" or self.headers.get("If-Range", etag) != etag:
            begin = 0
        if repo == "badrange" and begin:
            begin -= 1
        n_total = len(data)
        data = data[begin:]
        if repo == "wrong" and is_big:
            data = data[:-1] + bytes([data[-1] ^ 1])
        n_said = len(data)
        if repo == "long" and is_big:
            data += b"more"
        status = 206 if begin else 200
        self.note(status)
        self.send_response(status)
        if repo != "long":
            self.send_header("Content-Length", str(n_said))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        if repo != "noetag":
            self.send_header("ETag", etag)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{n_total - 1}/{n_total}")
        self.end_headers()
        self.send_body(repo, path, data, is_big)

    def send_body(self, repo, path, data, is_big):
        half = data[:len(data) // 2]
        cuts = {"cut": 3, "norange": 1, "noetag": 1, "changed": 1, "badrange": 1, "stale": 1}.get(repo, 0)
        if is_big and cuts and self.count("cut", repo, path) <= cuts:
            self.wfile.write(half)
            self.wfile.flush()
            self.close_connection = True
        elif is_big and repo == "stall" and self.count(repo, path) <= 1:
            self.wfile.write(half)
            self.wfile.flush()
            time.sleep(60)
        elif is_big and repo == "slow":
            for i in range(0, len(data), 2000):
                self.wfile.write(data[i:i + 2000])
                self.wfile.flush()
                time.sleep(0.1)
        else:
            self.wfile.write(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--log")
    args = parser.parse_args()
    if args.log:
        Hub.log_file = open(args.log, "a", encoding="utf-8")
    server = Server(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


main()
