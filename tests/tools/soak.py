#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""soak.py HOST:PORT SECONDS [SEED] - random traffic to cria serve, as many kinds at once as there are.

Twelve clients ask, each for something at random: chats and texts, whole and streamed, several answers, stop strings,
log-probabilities, forms, what must be refused, and clients that leave. Each answer must have the status that its
request calls for and come to its end; one that does not is lost. Every few seconds the server's resident memory is
read. Prints a JSON object; fails if anything was lost.
"""
import collections
import http.client
import json
import random
import re
import sys
import threading
import time

address, seconds = sys.argv[1], float(sys.argv[2])
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
WORDS = "llama river stone seven blue why how tell count north light 日本 été 🦙 bread wool".split()
SYSTEM = ["Answer briefly.", "You are a careful clerk. " * 20, "Speak as a llama. " * 60]
done, lost = collections.Counter(), []
end = time.time() + seconds


def words(r, n):
    return " ".join(r.choice(WORDS) for _ in range(n))


def chat(r, **more):
    messages = [{"role": "user", "content": words(r, r.choice([3, 30, 200]))}]
    if r.random() < 0.7:
        messages.insert(0, {"role": "system", "content": r.choice(SYSTEM)})
    return "/v1/chat/completions", {"messages": messages, "max_tokens": r.randrange(1, 60), "seed": r.randrange(1000), **more}


def text(r, **more):
    return "/v1/completions", {"prompt": [words(r, 5) for _ in range(r.randrange(1, 4))], "max_tokens": r.randrange(1, 40), **more}


KINDS = {  # name: (weight, status, what is asked for)
    "chat": (6, 200, chat),
    "chat, streamed": (8, 200, lambda r: chat(r, stream=True, stream_options={"include_usage": True})),
    "several answers": (2, 200, lambda r: chat(r, n=3, temperature=1)),
    "stop strings": (2, 200, lambda r: chat(r, stop=["e", "the"])),
    "log-probabilities": (2, 200, lambda r: chat(r, logprobs=True, top_logprobs=5)),
    "a JSON object": (2, 200, lambda r: chat(r, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"], "additionalProperties": False}}})),
    "texts": (3, 200, text),
    "texts, streamed": (3, 200, lambda r: text(r, stream=True, ignore_eos=True)),
    "models": (1, 200, lambda r: ("/v1/models", None)),
    "health": (1, 200, lambda r: ("/health", None)),
    "tokens": (1, 200, lambda r: ("/tokenize", {"content": words(r, 300)})),
    "too long": (1, 400, lambda r: ("/v1/completions", {"prompt": words(r, 5000)})),
    "out of range": (1, 400, lambda r: chat(r, temperature=9)),
    "no JSON": (1, 400, lambda r: ("/v1/chat/completions", b'{"messages":[')),
    "no such path": (1, 404, lambda r: ("/v1/" + words(r, 1).encode().hex(), None)),
    "no such model": (1, 404, lambda r: chat(r, model="none")),
}
LEAVES = 0.1  # of the streams, left at a random place


def ask(r, c, name):
    _, want, what = KINDS[name]
    path, body = what(r)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    c.request("POST" if data else "GET", path, data)
    answer = c.getresponse()
    if answer.status != want:
        raise ValueError(f"status {answer.status}: {answer.read(300)!r}")
    if not (isinstance(body, dict) and body.get("stream")):
        json.loads(answer.read())
        return name
    n_left = r.randrange(20) if r.random() < LEAVES else -1
    last = b""
    for line in answer:
        last = line if line.startswith(b"data: ") else last
        n_left -= 1
        if n_left == 0:
            c.close()
            return "streams that were left"
    if last.strip() != b"data: [DONE]":
        raise ValueError(f"a stream that ends in {last!r}")
    return name


def client(i):
    r = random.Random(seed * 1000 + i)
    names, weights = list(KINDS), [k[0] for k in KINDS.values()]
    c = http.client.HTTPConnection(address, timeout=120)
    while time.time() < end:
        name = r.choices(names, weights)[0]
        try:
            done[ask(r, c, name)] += 1
        except Exception as e:  # whatever it is, an answer is lost
            lost.append(f"{name}: {type(e).__name__} {e}")
            c.close()
        if r.random() < 0.05:
            c.close()  # another connection
        if r.random() < 0.1:
            time.sleep(r.random())
    c.close()


def resident():
    c = http.client.HTTPConnection(address, timeout=30)
    c.request("GET", "/metrics")
    return float(re.search(rb"^process_resident_memory_bytes (\S+)", c.getresponse().read(), re.M)[1]) / 1e6


threads = [threading.Thread(target=client, args=[i]) for i in range(12)]
for t in threads:
    t.start()
samples = []
while time.time() < end:
    samples.append(resident())
    time.sleep(max(1, seconds / 200))
for t in threads:
    t.join()
n = len(samples)
quarter = [sum(samples[n * i // 4:n * (i + 1) // 4]) / max(1, n * (i + 1) // 4 - n * i // 4) for i in range(4)]
print(json.dumps({"requests": sum(done.values()), "lost": len(lost), "resident_mb_by_quarter": [round(q, 1) for q in quarter],
                  "growth_mb": round(quarter[3] - quarter[1], 1), "kinds": done, "first_lost": lost[:5]}, ensure_ascii=False))
sys.exit(1 if lost else 0)
