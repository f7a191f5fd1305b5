"""Talks to the scripted model service with the official openai SDK and checks what the SDK understood.

Usage: drive_server.py BASE_URL. The service's script answers by the text of the last message, see sdk.rs.
"""

import json
import sys

import openai

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "calculator",
            "description": "Computes.",
            "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}},
        },
    }
]

client = openai.OpenAI(base_url=sys.argv[1], api_key="test-key", max_retries=0)


def ask(text, **more):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="m", messages=messages, **more)


def check(name, got, wanted):
    if got != wanted:
        sys.exit(f"{name}: got {got!r}, wanted {wanted!r}")


def collect(stream):
    """Puts a streamed answer together: text, calls by index, finish reason, usage."""
    text, calls, finish, usage = "", {}, None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            text += choice.delta.content or ""
            for piece in choice.delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += piece.id or ""
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
    return text, list(calls.values()), finish, usage


WANTED_CALLS = [
    ("c1", "calculator", {"expression": "2+2"}),
    ("c2", "calculator", {"expression": "3×3"}),
]

plain = ask("text")
check("plain text", plain.choices[0].message.content, "hello 世界 again")
check("plain finish", plain.choices[0].finish_reason, "stop")
check("plain usage", plain.usage.total_tokens, plain.usage.prompt_tokens + plain.usage.completion_tokens)

called = ask("calls", tools=TOOLS).choices[0]
check("plain call finish", called.finish_reason, "tool_calls")
check("plain call text", called.message.content, None)
check(
    "plain calls",
    [(c.id, c.function.name, json.loads(c.function.arguments)) for c in called.message.tool_calls],
    WANTED_CALLS,
)

text, calls, finish, usage = collect(ask("text", stream=True, stream_options={"include_usage": True}))
check("streamed text", text, "hello 世界 again")
check("streamed finish", finish, "stop")
check("streamed usage", usage is not None and usage.prompt_tokens > 0, True)

text, calls, finish, usage = collect(ask("calls", tools=TOOLS, stream=True))
check("streamed call finish", finish, "tool_calls")
check("streamed call usage", usage, None)
check("streamed calls", [(c["id"], c["name"], json.loads(c["arguments"])) for c in calls], WANTED_CALLS)

for text, kind in [("429", openai.RateLimitError), ("500", openai.InternalServerError), ("401", openai.AuthenticationError)]:
    try:
        ask(text)
    except kind as error:
        check(f"{text} message", "scripted refusal" in str(error), True)
    else:
        sys.exit(f"{text}: no error")

print("the SDK understood everything")
