#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fake_searx.py PAGES - a SearxNG that answers as its path says, with pages below the address PAGES. Prints its port."""
import http.server
import json
import sys
from urllib.parse import parse_qs, urlsplit

PAGES = sys.argv[1]
RESULTS = {
    "plain": [f"{PAGES}/page", f"{PAGES}/notes.md", f"{PAGES}/page", f"{PAGES}/page#part"],
    "mixed": ["file:///etc/passwd", "javascript:alert(1)", 7, None, f"{PAGES}/nothing", f"{PAGES}/picture", f"{PAGES}/notes.md"],
    "dead": [f"{PAGES}/nothing", f"{PAGES}/cut"],
    "none": [],
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        at = urlsplit(self.path)
        how, asked = at.path.split("/")[1], parse_qs(at.query)
        body, status = b"<html>no JSON here</html>", 200
        if how == "forbidden":
            status = 403
        elif how in RESULTS and at.path == f"/{how}/search" and asked["format"] == ["json"] and asked["q"]:
            body = json.dumps({"query": asked["q"][0], "results": [{"url": u, "title": "T"} for u in RESULTS[how]]}).encode()
        elif how == "object":
            body = b'{"results": {"url": "http://127.0.0.1/"}}'
        elif how == "long":
            body = b" " * (5 << 20)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
