#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cited_clients.py URL QUESTION - the official clients (openai 3.57.0, anthropic 2.14.0) read answers with sources,
whole and streamed. Prints lines "ok WHAT" and "not ok WHAT".
"""
import sys

import anthropic
import openai

url, question = sys.argv[1:3]


def say(is_so, what):
    print("ok" if is_so else "not ok", what)


o = openai.OpenAI(base_url=url + "/v1", api_key="none")
asked = dict(model="", input=question, temperature=0, max_output_tokens=60, extra_body={"sources": True})
r = o.responses.create(**asked)
cited = r.output[0].content[0].annotations
say(len(cited) > 0 and all(a.type == "file_citation" and a.filename == "bridge.md" for a in cited),
    "openai: typed file citations")
added = [e for e in o.responses.create(stream=True, **asked) if e.type == "response.output_text.annotation.added"]
say([dict(e.annotation)["index"] for e in added] == [a.index for a in cited], "openai: streamed as typed events")
with o.responses.stream(**asked) as s:
    s.until_done()
    say(s.get_final_response().output[0].content[0].annotations == cited, "openai: its accumulated stream has them")

a = anthropic.Anthropic(base_url=url, api_key="none")
asked = dict(model="", messages=[{"role": "user", "content": question}], max_tokens=60,
             extra_body={"sources": True, "temperature": 0})
m = a.messages.create(**asked)
cited = [c for b in m.content for c in b.citations or []]
say(len(cited) > 0 and all(c.type == "search_result_location" and c.source.endswith("/bridge.md") for c in cited),
    "anthropic: typed citations of search results")
with a.messages.stream(**asked) as s:
    n = sum(e.type == "citation" for e in s)
    final = s.get_final_message()
say(n == len(cited), "anthropic: an event a citation")
say([(b.text, b.citations) for b in final.content] == [(b.text, b.citations) for b in m.content],
    "anthropic: its accumulated stream is the same message")
