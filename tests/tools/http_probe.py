#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""http_probe.py HOST:PORT WHAT [ARGS] - does to a server what curl will not: raw bytes, slow bytes, leaving.

raw            sends stdin (escapes \\r \\n \\0 are read), prints the status of each answer and "closed" if it
               closes within 3 s
slow-header    sends a byte of a header every 0.5 s, prints after how many seconds it is cut off (at most 30)
slow-reader    asks for a long stream and reads nothing, prints after how many seconds it is cut off (at most 400)
cancel N       N streaming chats, each left after its first event; prints how many began
leave          one chat without a stream, left after 0.3 s
stream FILE N  one streaming chat of N tokens to its end, events to FILE
many N TOKENS  N streaming chats at once, prints how many came to their end
loris N        N connections that send a byte of a header every 0.5 s, prints how many are cut off within 15 s
idle N         opens N connections, a GET /health on each, holds them until stdin ends
health N       GET /health N times, prints the slowest in ms
"""
import json
import socket
import sys
import threading
import time

host, port = sys.argv[1].rsplit(":", 1)
CHAT = {"messages": [{"role": "user", "content": "Tell me a long story about a llama."}], "max_tokens": 2000,
        "ignore_eos": True, "stream": True}


def connect():
    s = socket.create_connection((host, int(port)), timeout=30)
    return s


def post(path, body):
    data = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data


def raw():
    data = sys.stdin.buffer.read().decode("latin-1").replace("\n", "")
    data = data.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0").replace("\\x20", " ")
    s = connect()
    s.settimeout(3)
    got, closed = b"", False
    try:
        s.sendall(data.encode("latin-1"))
        while True:
            b = s.recv(65536)
            if not b:
                closed = True
                break
            got += b
    except socket.timeout:
        pass
    except ConnectionError:
        closed = True
    words = [line.split()[1].decode() for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    print(*words, *(["closed"] if closed else []))


def slow_header():
    s = connect()
    s.settimeout(0.5)
    begin = time.time()
    data = f"GET /health HTTP/1.1\r\nHost: {host}:{port}\r\nX-Slow: ".encode()
    s.sendall(data)
    while time.time() - begin < 30:
        try:
            s.sendall(b"x")
            if s.recv(100) == b"":
                break
        except socket.timeout:
            continue
        except ConnectionError:
            break
    print(int(time.time() - begin))


def slow_reader():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((host, int(port)))
    s.sendall(post("/v1/completions", {"prompt": "x", "max_tokens": 2000, "n": 16, "logprobs": 20, "stream": True,
                                       "ignore_eos": True}))
    begin = time.time()
    for _ in range(800):
        time.sleep(0.5)
        if not s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (1,):
            break
    print(int(time.time() - begin))


def cancel(n):
    begun = 0
    for _ in range(n):
        s = connect()
        s.sendall(post("/v1/chat/completions", CHAT))
        got = b""
        while b"data: " not in got:
            b = s.recv(4096)
            if not b:
                break
            got += b
        begun += b"HTTP/1.1 200" in got
        s.close()
    print(begun)


def leave():
    s = connect()
    s.sendall(post("/v1/chat/completions", {**CHAT, "stream": False}))
    time.sleep(0.3)
    s.close()


def stream(name, n_tokens):
    s = connect()
    s.sendall(post("/v1/chat/completions", {**CHAT, "max_tokens": n_tokens}))
    s.settimeout(60)
    with open(name, "wb") as f:
        while True:
            b = s.recv(65536)
            if not b:
                break
            f.write(b)
            f.flush()


def many(n, n_tokens):
    ended = []

    def one(i):
        s = connect()
        s.settimeout(300)
        s.sendall(post("/v1/chat/completions", {**CHAT, "max_tokens": n_tokens, "user": str(i), "seed": i}))
        got = b""
        while b"data: [DONE]" not in got[-100:]:
            b = s.recv(65536)
            if not b:
                return
            got += b
        ended.append(i)

    threads = [threading.Thread(target=one, args=[i]) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(len(ended))


def loris(n):
    left, cut = [], 0
    for _ in range(n):
        s = connect()
        s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nX-Slow: ".encode())
        s.setblocking(False)
        left.append(s)
    begin = time.time()
    while left and time.time() - begin < 15:
        time.sleep(0.5)
        for s in list(left):
            try:
                s.sendall(b"x")
                gone = s.recv(100) == b""
            except BlockingIOError:
                gone = False
            except ConnectionError:
                gone = True
            if gone:
                left.remove(s)
                cut += 1
    print(cut)


def idle(n):
    all_of_them = []
    for _ in range(n):
        s = connect()
        s.sendall(f"GET /health HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert s.recv(12) == b"HTTP/1.1 200"
        all_of_them.append(s)
    print(len(all_of_them), flush=True)
    sys.stdin.read()


def health(n):
    slowest = 0
    for _ in range(n):
        begin = time.time()
        s = connect()
        s.sendall(f"GET /health HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        while s.recv(4096):
            pass
        slowest = max(slowest, time.time() - begin)
        time.sleep(0.02)
    print(f"{slowest * 1000:.0f}")


what, args = sys.argv[2].replace("-", "_"), sys.argv[3:]
globals()[what](*[int(a) if a.isdigit() else a for a in args])
