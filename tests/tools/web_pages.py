#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""web_pages.py - a web server with good and bad habits, for cria index URL. Prints its port.
The second argument is the address to listen at, else 127.0.0.1.

Requests are appended to the file of the argument: method, path, status, validators that came along.
The page /changing is what stands in the file FILE.page.
"""
import gzip
import http.server
import sys
import time

PAGE = b"<html><head><title>Tides</title></head><body><article><h1>Tides</h1><p>" + \
    b"The spring tide at Saltholm reaches four metres and forty centimetres. " * 3 + b"</p></article></body></html>"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, status, body=b"", kind="text/html; charset=utf-8", **headers):
        with open(sys.argv[1], "a") as f:
            f.write(f"{self.path} {status} {self.headers.get('If-None-Match', '-')} "
                    f"{self.headers.get('If-Modified-Since', '-')}\n")
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        port = self.server.server_address[1]
        if path == "/page":
            if self.headers.get("If-None-Match") == '"v1"':
                return self.say(304, ETag='"v1"')
            return self.say(200, PAGE, ETag='"v1"')
        if path == "/changing":
            return self.say(200, open(sys.argv[1] + ".page", "rb").read(), "text/plain",
                            Last_Modified="Tue, 01 Oct 2024 10:00:00 GMT")
        if path == "/notes.md":
            return self.say(200, b"# Ferry\n\nThe ferry to Saltholm leaves at noon.", "text/plain")
        if path == "/latin":
            return self.say(200, "Der Fährmann heißt Jürgen.".encode("latin-1"), "text/plain; charset=ISO-8859-1")
        if path == "/packed":
            return self.say(200, gzip.compress(PAGE), Content_Encoding="gzip")
        if path == "/bomb":
            return self.say(200, gzip.compress(b"x" * (64 << 20)), "text/plain", Content_Encoding="gzip")
        if path == "/picture":
            return self.say(200, b"only text, but called a picture", "image/png")
        if path == "/binary":
            return self.say(200, bytes(range(256)) * 8, "application/octet-stream")
        if path == "/away":  # from an allowed name to whatever ?to= says
            return self.say(302, Location=self.path.split("to=")[1])
        if path == "/there":
            return self.say(301, Location="/page")
        if path == "/loop":
            return self.say(302, Location="/loop")
        if path == "/nowhere":
            return self.say(302)
        if path == "/huge":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            try:
                for _ in range(1 << 14):  # 1 GiB, if nobody stops it
                    self.wfile.write(b"all work and no play" * 3277)
            except OSError:
                pass
            self.close_connection = True
            return None
        if path == "/drip":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b"drop ")
                    self.wfile.flush()
                    time.sleep(0.2)
            except OSError:
                pass
            self.close_connection = True
            return None
        if path == "/headers":
            return self.say(200, b"x", "text/plain", X_Long="y" * 200000, X_Longer="y" * 200000)
        if path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"a little")
            self.close_connection = True
            return None
        return self.say(404, b"there is nothing here")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):  # clients here hang up in the middle
        pass


server = Server((sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
