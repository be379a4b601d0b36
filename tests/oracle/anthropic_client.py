#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""anthropic_client.py URL KEY - the official anthropic client (made with 2.14.0) against a running server.

Prints TAP. The model is the default one, SmolLM2-135M-Instruct, which must answer "Paris".
"""
import asyncio
import json
import sys

import anthropic

URL, KEY = sys.argv[1:3]
client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
PARIS = "The capital of France is Paris."
ASK = dict(model="default", system="Answer the question correctly.", max_tokens=20, extra_body={"temperature": 0},
           messages=[{"role": "user", "content": "What is the capital of France?"}])


def create():
    m = client.messages.create(**ASK)
    assert m.type == "message" and m.role == "assistant" and [b.text for b in m.content] == [PARIS]
    assert m.stop_reason == "end_turn" and m.stop_sequence is None and m.usage.output_tokens == 7
    assert m.usage.input_tokens + m.usage.cache_read_input_tokens == 26 and m._request_id.startswith("req-")


def blocks():
    said = [{"role": "user", "content": [{"type": "text", "text": "What is the capital of France?", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": client.messages.create(**ASK).content},
            {"role": "user", "content": "And of Germany?"}]
    m = client.messages.create(**{**ASK, "messages": said})
    assert "Berlin" in m.content[0].text, m


def stops():
    m = client.messages.create(stop_sequences=["France", "xyz"], **ASK)
    assert m.stop_reason == "stop_sequence" and m.stop_sequence == "France" and m.content[0].text == "The capital of "
    m = client.messages.create(**{**ASK, "max_tokens": 2})
    assert m.stop_reason == "max_tokens" and m.usage.output_tokens == 2


def stream_events():
    events = list(client.messages.create(stream=True, **ASK))
    kinds = [e.type for e in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta") == PARIS
    assert events[-2].usage.output_tokens == 7 and events[-2].delta.stop_reason == "end_turn"


def stream_helper():
    with client.messages.stream(**ASK) as s:
        assert "".join(s.text_stream) == PARIS
        m = s.get_final_message()
    assert m.content[0].text == PARIS and m.stop_reason == "end_turn" and m.usage.output_tokens == 7


def early_close():
    with client.messages.stream(**{**ASK, "max_tokens": 1000}) as s:
        next(iter(s))


def structured():
    schema = {"type": "object", "properties": {"big": {"type": "boolean"}}, "required": ["big"], "additionalProperties": False}
    m = client.messages.create(output_config={"format": {"type": "json_schema", "schema": schema}}, **ASK)
    assert list(json.loads(m.content[0].text)) == ["big"], m
    refused(anthropic.BadRequestError, "output_config.format.schema", lambda: client.messages.create(
        output_config={"format": {"type": "json_schema", "schema": {"type": "none"}}}, **ASK))


WEATHER = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"],
           "additionalProperties": False}
CALL = dict(model="default", max_tokens=100, extra_body={"temperature": 0},
            messages=[{"role": "user", "content": "What is the weather in Paris?"}],
            tools=[{"name": "get_weather", "input_schema": WEATHER}], tool_choice={"type": "any", "disable_parallel_tool_use": True})


def tools():
    m = client.messages.create(**CALL)
    use = m.content[0]
    assert m.stop_reason == "tool_use" and len(m.content) == 1 and use.type == "tool_use" and use.name == "get_weather"
    assert set(use.input) == {"city"} and use.id.startswith("toolu_")
    said = CALL["messages"] + [{"role": "assistant", "content": m.content},
                               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "21 degrees"}]}]
    n = client.messages.create(**{**CALL, "messages": said, "tool_choice": {"type": "none"}, "max_tokens": 20})
    assert [b.type for b in n.content] == ["text"] and n.stop_reason in ("end_turn", "max_tokens")
    m = client.messages.create(**{**CALL, "tool_choice": {"type": "tool", "name": "get_weather"}})
    assert m.content[0].name == "get_weather"


def tools_stream():
    with client.messages.stream(**CALL) as s:
        events = list(s)
        m = s.get_final_message()
    kinds = [e.type for e in events]
    assert m.content[0].input == client.messages.create(**CALL).content[0].input and m.stop_reason == "tool_use"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1
    cut = client.messages.create(**{**CALL, "max_tokens": 24})
    assert cut.stop_reason == "max_tokens" and [(b.type, b.input) for b in cut.content] == [("tool_use", {})]


def count_tokens():
    n = client.messages.count_tokens(**{k: v for k, v in ASK.items() if k in ("model", "system", "messages")})
    assert n.input_tokens == 26


def refused(kind, words, call):
    try:
        call()
    except kind as e:
        assert words in str(e) and e.body["type"] == "error", (str(e), e.body)
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def errors():
    bad = anthropic.BadRequestError
    refused(bad, "temperature", lambda: client.messages.create(**{**ASK, "extra_body": {"temperature": 9}}))
    refused(bad, "messages", lambda: client.messages.create(**{**ASK, "messages": []}))
    refused(bad, "image", lambda: client.messages.create(**{**ASK, "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}}]}]}))
    refused(bad, "tokens", lambda: client.messages.create(**{**ASK, "messages": [{"role": "user", "content": "word " * 20000}]}))
    refused(anthropic.NotFoundError, "claude", lambda: client.messages.create(**{**ASK, "model": "claude"}))
    other = anthropic.Anthropic(base_url=URL, api_key="sk-wrong", max_retries=0)
    refused(anthropic.AuthenticationError, "key", lambda: other.messages.create(**ASK))


def asynchronous():
    async def go():
        many = anthropic.AsyncAnthropic(base_url=URL, api_key=KEY)
        answers = await asyncio.gather(*(many.messages.create(**ASK) for _ in range(16)))
        return [a.content[0].text for a in answers]
    assert asyncio.run(go()) == [PARIS] * 16


failed = 0
tests = [create, blocks, stops, stream_events, stream_helper, early_close, structured, tools, tools_stream, count_tokens, errors, asynchronous]
for i, test in enumerate(tests, 1):
    try:
        test()
        print(f"ok {i} - anthropic {anthropic.__version__}: {test.__name__}")
    except Exception as e:  # any failure is this test's
        failed = 1
        print(f"not ok {i} - anthropic {anthropic.__version__}: {test.__name__}\n# {type(e).__name__}: {e}")
print(f"1..{len(tests)}")
sys.exit(failed)
