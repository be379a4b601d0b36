#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fake_openai.py - a server that answers chat completions as its model's name says, well or badly.

Prints its port. What it was sent is appended to the file of the argument, a JSON line a request with the headers.
"""
import http.server
import json
import sys
import time


def piece(text, **more):
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more})


END = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
USAGE = json.dumps({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3,
                                             "prompt_tokens_details": {"cached_tokens": 5}}})
STREAMS = {  # model: bytes of the body
    "plain": f"data: {piece('Hello')}\n\ndata: {piece(' there')}\n\ndata: {END}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n",
    "crlf": f": comment\r\nevent: x\r\ndata:{piece('Hello')}\r\n\r\ndata: {piece(' there')}\r\rdata: {END}\r\n\r\n",
    "lines": "data: " + piece("Hello there").replace(", ", ",\ndata: ") + f"\n\ndata: {END}\n\n",
    "control": f"data: {piece(chr(27) + '[2JHello' + chr(7) + chr(0x9b) + ' there' + chr(127))}\n\ndata: {END}\n\n",
    "cut": f"data: {piece('Hello')}\n\n",
    "error": f"data: {piece('Hello')}\n\n" + 'data: {"error": {"message": "out of ' + "\\u001b" + 'luck"}}\n\n',
    "garbage": "data: {not json\n\n",
    "empty": "data: {}\n\ndata: [1]\n\ndata: null\n\n" + f"data: {END}\n\n",
    "long": "data: " + "x" * (5 << 20) + "\n\n",
    "length": f"data: {piece('Hello')}\n\n" + "data: " + END.replace("stop", "length") + "\n\n",
}


class Handler(http.server.BaseHTTPRequestHandler):
    def say(self, status, body, kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(200, json.dumps({"data": [{"id": "plain"}, {"id": "cut"}]}).encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[1], "a") as f:
            f.write(json.dumps({"path": self.path, "key": self.headers["Authorization"], "body": body}) + "\n")
        model = body["model"]
        if model == "busy":
            self.say(429, b'{"error": {"message": "too many"}}', Retry_After="7")
        elif model == "denied":
            self.say(401, b'{"error": "who are you"}')
        elif model == "html":
            self.say(502, b"<html>bad gateway</html>")
        elif model == "moved":
            self.say(302, b"", Location="http://127.0.0.1:1/")
        elif model == "slow":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"data: {piece('Hello')}\n\n".encode())
            self.wfile.flush()
            time.sleep(20)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            data = STREAMS[model].encode()
            step = len(data) if len(data) > 100000 else 7
            for i in range(0, len(data), step):  # across every border
                self.wfile.write(data[i:i + step])
                self.wfile.flush()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
