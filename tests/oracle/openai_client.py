#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""openai_client.py URL KEY - every call of the official openai client (made with 3.57.0) against a running server.

Prints TAP. The model is the default one, SmolLM2-135M-Instruct, which must answer "Paris".
"""
import asyncio
import enum
import json
import re
import sys

import openai
import pydantic

URL, KEY = sys.argv[1:3]
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
MODEL = client.models.list().data[0].id
ASK = [{"role": "system", "content": "Answer the question correctly."},
       {"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."


def models_list():
    page = client.models.list()
    assert [m.object for m in page] == ["model"] * 2 and client.models.retrieve(MODEL).id == MODEL


def adapter():
    listed = client.models.retrieve("mine")
    assert listed.id == "mine" and listed.parent == MODEL
    r = client.chat.completions.create(model="mine", messages=ASK, temperature=0, max_tokens=20)
    assert r.model == "mine" and r.choices[0].message.content != PARIS
    s = client.chat.completions.create(model="mine", messages=ASK, temperature=0, max_tokens=5, stream=True)
    assert {c.model for c in s} == {"mine"}
    r = client.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=20)
    assert r.model == MODEL and r.choices[0].message.content == PARIS


def adapter_at_run_time():
    body = {"lora_name": "other", "lora_path": "smollm2"}
    assert "added" in client.post("/load_lora_adapter", body=body, cast_to=str)
    assert client.completions.create(model="other", prompt="One", max_tokens=2).model == "other"
    refused(openai.BadRequestError, "lora_name", lambda: client.post("/load_lora_adapter", body=body, cast_to=str))
    assert "removed" in client.post("/unload_lora_adapter", body={"lora_name": "other"}, cast_to=str)
    refused(openai.NotFoundError, "model", lambda: client.completions.create(model="other", prompt="One", max_tokens=2))


def chat():
    r = client.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=20)
    c = r.choices[0]
    assert c.message.content == PARIS and c.message.role == "assistant" and c.finish_reason == "stop"
    assert r.usage.prompt_tokens == 26 and r.usage.completion_tokens == 7 and r.usage.total_tokens == 33
    assert r.usage.prompt_tokens_details.cached_tokens >= 0 and r.object == "chat.completion"


def chat_stream():
    s = client.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=20, stream=True,
                                       stream_options={"include_usage": True})
    chunks = list(s)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == PARIS
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].usage.completion_tokens == 7
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def chat_stream_helper():
    with client.chat.completions.stream(model=MODEL, messages=ASK, temperature=0, max_tokens=20) as s:
        kinds = [e.type for e in s]
        assert s.get_final_completion().choices[0].message.content == PARIS
    assert "content.delta" in kinds and "content.done" in kinds, kinds


def chat_many():
    r = client.chat.completions.create(model=MODEL, messages=ASK, n=3, seed=5, max_completion_tokens=5, temperature=1,
                                       top_p=0.9, presence_penalty=0.5, frequency_penalty=0.5, logit_bias={"7042": 1},
                                       stop=["###", "@@@"], user="u", extra_body={"top_k": 20, "min_p": 0.01})
    assert [c.index for c in r.choices] == [0, 1, 2] and r.usage.completion_tokens <= 15


def chat_logprobs():
    r = client.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=4, logprobs=True, top_logprobs=5)
    lp = r.choices[0].logprobs.content
    assert [t.token for t in lp] == ["The", " capital", " of", " France"]
    assert all(len(t.top_logprobs) == 5 and t.top_logprobs[0].token == t.token for t in lp)
    assert bytes(lp[1].bytes) == b" capital" and all(t.logprob <= 0 for t in lp)


def chat_stream_logprobs():
    s = client.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=4, logprobs=True, stream=True)
    lp = [t.token for c in s for t in (c.choices[0].logprobs.content if c.choices[0].logprobs else [])]
    assert lp == ["The", " capital", " of", " France"], lp


def chat_early_close():
    s = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=1000, stream=True, extra_body={"ignore_eos": True})
    next(iter(s))
    s.close()


def completions():
    r = client.completions.create(model=MODEL, prompt=["The capital of France is", "Once upon a"], max_tokens=2, temperature=0,
                                  logprobs=2)
    assert r.choices[0].text == " Paris." and r.choices[0].finish_reason == "length" and len(r.choices) == 2
    lp = r.choices[0].logprobs
    assert lp.tokens == [" Paris", "."] and len(lp.top_logprobs[0]) == 2 and lp.text_offset == [0, 6]


def completions_stream():
    s = client.completions.create(model=MODEL, prompt=[504, 3575, 282, 4649, 314], max_tokens=2, temperature=0, stream=True,
                                  echo=True, stream_options={"include_usage": True})
    chunks = list(s)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == "The capital of France is Paris."
    assert chunks[-1].usage.total_tokens == 7


class Country(pydantic.BaseModel):
    """A schema as clients make them: $defs, $ref, title, default, anyOf, enum."""
    class Side(enum.Enum):
        north = "north"
        south = "south"

    class City(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=30)
        people: int = pydantic.Field(ge=0, le=99999999)

    name: str = pydantic.Field(max_length=30)
    capital: City
    side: Side
    others: list[City] = pydantic.Field(max_length=2)
    coast_km: float | None


FORM = [{"role": "user", "content": "Describe France as JSON."}]


def structured_parse():
    r = client.chat.completions.parse(model=MODEL, messages=FORM, response_format=Country, seed=1, max_tokens=400)
    assert isinstance(r.choices[0].message.parsed, Country) and r.choices[0].finish_reason == "stop"


def structured_stream():
    with client.chat.completions.stream(model=MODEL, messages=FORM, response_format=Country, seed=2, max_tokens=400) as s:
        kinds = {e.type for e in s}
        assert isinstance(s.get_final_completion().choices[0].message.parsed, Country)
    assert {"content.delta", "content.done"} <= kinds, kinds


def structured_object():
    r = client.chat.completions.create(model=MODEL, temperature=0, messages=[
        {"role": "user", "content": 'Give me a JSON object with the key "city" and the value "Rome".'}],
                                       response_format={"type": "json_object"}, max_tokens=100)
    assert isinstance(json.loads(r.choices[0].message.content), dict)


def structured_extras():
    for extra, want in [({"guided_choice": ["yes", "no"]}, "yes|no"), ({"guided_regex": "[0-9]{3}"}, "[0-9]{3}"),
                        ({"structured_outputs": {"grammar": 'root ::= "a" | "b"'}}, "a|b")]:
        r = client.chat.completions.create(model=MODEL, messages=FORM, extra_body=extra, n=2)
        assert all(re.fullmatch(want, c.message.content) for c in r.choices)


def embeddings():
    r = client.embeddings.create(model=MODEL, input=["The cat sat.", "A kitten rested.", "Rates rose again."])
    v = [e.embedding for e in r.data]  # the client asks for base64
    dot = [sum(x * y for x, y in zip(v[0], w)) for w in v]
    assert len(v[0]) == 576 and abs(dot[0] - 1) < 1e-5 and dot[1] > dot[2] and r.usage.total_tokens > 10
    r = client.embeddings.create(model=MODEL, input=[504, 3575], encoding_format="float", dimensions=64, user="u")
    assert len(r.data[0].embedding) == 64 and abs(sum(x * x for x in r.data[0].embedding) - 1) < 1e-5


def completions_scored():
    """As lm-eval's local-completions asks: ids, echo, one token more, which it drops."""
    ids = [[504, 3575, 282, 4649, 314, 7042, 30], [504, 3575, 282, 4649, 314, 9352, 30], [504]]
    r = client.completions.create(model=MODEL, prompt=ids, max_tokens=1, temperature=0, logprobs=1, echo=True, seed=1)
    one, other, single = [c.logprobs for c in sorted(r.choices, key=lambda c: c.index)]
    assert one.tokens[:7] == ["The", " capital", " of", " France", " is", " Paris", "."] and len(one.tokens) == 8
    assert one.token_logprobs[0] is None and one.top_logprobs[0] is None and len(one.token_logprobs) == 8
    assert one.text_offset[:7] == [0, 3, 11, 14, 21, 24, 30] and one.token_logprobs[5] > other.token_logprobs[5] + 3
    is_greedy = [t == max(top.items(), key=lambda kv: kv[1])[0] for t, top in zip(one.tokens[5:-1], one.top_logprobs[5:-1])]
    assert is_greedy == [True, True] and max(abs(a - b) for a, b in zip(one.token_logprobs[1:5], other.token_logprobs[1:5])) < 0.5
    assert len(single.tokens) == 2 and single.token_logprobs[0] is None and single.token_logprobs[1] <= 0
    r = client.completions.create(model=MODEL, prompt=ids[0], max_tokens=0, logprobs=2, echo=True, n=2)
    assert all(c.text == "The capital of France is Paris." and len(c.logprobs.tokens) == 7 and c.finish_reason == "length"
               and len(c.logprobs.top_logprobs[6]) == 2 for c in r.choices)
    refused(openai.BadRequestError, "echo", lambda: client.completions.create(model=MODEL, prompt="a", logprobs=1, echo=True,
                                                                             stream=True))


RESPONSE = dict(instructions="Answer the question correctly.", input="What is the capital of France?", temperature=0,
                max_output_tokens=20)


def responses():
    r = client.responses.create(model=MODEL, metadata={"a": "b"}, **RESPONSE)
    assert r.output_text == PARIS and r.status == "completed" and r.error is None and r.metadata == {"a": "b"}
    assert r.usage.input_tokens == 26 and r.usage.output_tokens == 7 and r.usage.input_tokens_details.cached_tokens >= 0
    again = client.responses.retrieve(r.id)
    assert again == r
    items = list(client.responses.input_items.list(r.id))
    assert len(items) == 1 and items[0].content[0].text == RESPONSE["input"], items
    n = client.responses.create(model=MODEL, previous_response_id=r.id, input="And of Germany?", temperature=0, max_output_tokens=20)
    assert n.output_text == "The capital of Germany is Berlin." and n.previous_response_id == r.id
    assert client.responses.input_tokens.count(model=MODEL, previous_response_id=r.id, input="And of Germany?").input_tokens == 59
    client.responses.delete(r.id)
    refused(openai.NotFoundError, None, lambda: client.responses.retrieve(r.id))
    refused(openai.BadRequestError, "previous_response_id",
            lambda: client.responses.create(model=MODEL, previous_response_id=n.id, input="x"))


def responses_items():
    said = [{"role": "user", "content": [{"type": "input_text", "text": "What is the capital of France?"}]}]
    said.insert(0, {"role": "developer", "content": "Answer the question correctly."})
    first = client.responses.create(model=MODEL, input=said, temperature=0, max_output_tokens=20, store=False)
    said += [o.model_dump() for o in first.output]
    said += [{"role": "user", "content": "And of Germany?"}]
    r = client.responses.create(model=MODEL, input=said, temperature=0, max_output_tokens=20, truncation="auto")
    assert "Berlin" in r.output_text, r.output_text


def responses_stream():
    events = list(client.responses.create(model=MODEL, stream=True, **RESPONSE))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == PARIS
    with client.responses.stream(model=MODEL, **RESPONSE) as s:
        assert "response.output_text.done" in [e.type for e in s]
        assert s.get_final_response().output_text == PARIS
    cut = list(client.responses.create(model=MODEL, input="Tell me a story.", max_output_tokens=3, stream=True))
    assert cut[-1].type == "response.incomplete" and cut[-1].response.incomplete_details.reason == "max_output_tokens"


def responses_parse():
    import pydantic

    class City(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=20)
        is_capital: bool

    r = client.responses.parse(model=MODEL, text_format=City, **{**RESPONSE, "max_output_tokens": 60})
    assert isinstance(r.output_parsed, City), r
    with client.responses.stream(model=MODEL, text_format=City, **{**RESPONSE, "max_output_tokens": 60}) as s:
        list(s)
        assert isinstance(s.get_final_response().output_parsed, City)


def responses_logprobs():
    r = client.responses.create(model=MODEL, include=["message.output_text.logprobs"], top_logprobs=3, **RESPONSE)
    lp = r.output[0].content[0].logprobs
    assert [t.token for t in lp[:3]] == ["The", " capital", " of"] and len(lp[0].top_logprobs) == 3


def refused(kind, param, call):
    try:
        call()
    except kind as e:
        assert e.param == param, e.param
        assert e.request_id and e.request_id.startswith("req-")
        return e
    raise AssertionError(f"{kind.__name__} was not raised")


def errors():
    bad = openai.BadRequestError
    refused(bad, "temperature", lambda: client.chat.completions.create(model=MODEL, messages=ASK, temperature=9))
    refused(bad, "messages", lambda: client.chat.completions.create(model=MODEL, messages=[]))
    refused(bad, "response_format.json_schema.schema", lambda: client.chat.completions.create(
        model=MODEL, messages=ASK, response_format={"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "object", "patternProperties": {"a": {}}}}}))
    refused(openai.NotFoundError, "model", lambda: client.chat.completions.create(model="gpt-4o", messages=ASK))
    refused(openai.NotFoundError, "model", lambda: client.models.retrieve("nothing"))
    e = refused(bad, "messages", lambda: client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "word " * 20000}]))
    assert e.code == "context_length_exceeded"
    other = openai.OpenAI(base_url=URL + "/v1", api_key="sk-wrong", max_retries=0)
    refused(openai.AuthenticationError, None, other.models.list)


def asynchronous():
    async def go():
        many = openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY)
        answers = await asyncio.gather(*(many.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=20)
                                         for _ in range(32)))
        s = await many.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=20, stream=True)
        text = "".join([c.choices[0].delta.content or "" async for c in s])
        return [a.choices[0].message.content for a in answers] + [text]
    assert asyncio.run(go()) == [PARIS] * 33


WEATHER = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"],
           "additionalProperties": False}
CALL = dict(input="What is the weather in Paris?", temperature=0, max_output_tokens=100, tool_choice="required",
            parallel_tool_calls=False, tools=[{"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}])


def responses_tools():
    r = client.responses.create(model=MODEL, **CALL)
    call = r.output[0]
    assert len(r.output) == 1 and call.type == "function_call" and call.name == "get_weather" and call.status == "completed"
    assert set(json.loads(call.arguments)) == {"city"} and client.responses.retrieve(r.id).output == r.output
    n = client.responses.create(model=MODEL, previous_response_id=r.id, temperature=0, max_output_tokens=20, input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}])
    assert n.output[0].type == "message" and n.output_text
    assert [i.type for i in client.responses.input_items.list(n.id)] == ["function_call_output"]


def responses_tools_stream():
    whole = client.responses.create(model=MODEL, **CALL).output[0]
    with client.responses.stream(model=MODEL, **CALL) as s:
        events = list(s)
        r = s.get_final_response()
    kinds = [e.type for e in events]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed" and "response.output_text.delta" not in kinds
    assert "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta") == whole.arguments
    assert r.output[0].arguments == whole.arguments and r.output[0].name == "get_weather"
    assert [e.sequence_number for e in events if hasattr(e, "sequence_number")] == list(range(len(events)))
    cut = client.responses.create(model=MODEL, **{**CALL, "max_output_tokens": 24})
    assert cut.status == "incomplete" and all(i.status == "incomplete" for i in cut.output)


failed = 0
tests = [models_list, adapter, adapter_at_run_time, chat, chat_stream, chat_stream_helper, chat_many, chat_logprobs,
         chat_stream_logprobs, chat_early_close, completions, completions_stream, completions_scored, embeddings, structured_parse, structured_stream, structured_object,
         structured_extras, errors, asynchronous, responses, responses_items, responses_stream, responses_parse, responses_logprobs,
         responses_tools, responses_tools_stream]
for i, test in enumerate(tests, 1):
    try:
        test()
        print(f"ok {i} - openai {openai.__version__}: {test.__name__}")
    except Exception as e:  # any failure is this test's
        failed = 1
        print(f"not ok {i} - openai {openai.__version__}: {test.__name__}\n# {type(e).__name__}: {e}")
print(f"1..{len(tests)}")
sys.exit(failed)
