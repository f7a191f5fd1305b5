"""Talks to the scripted model service with the official anthropic SDK and checks what the SDK understood.

Usage: drive_messages.py BASE_URL. The service's script answers by the text of the last message, see sdk.rs.
"""

import sys

import anthropic

TOOLS = [
    {
        "name": "calculator",
        "description": "Computes.",
        "input_schema": {"type": "object", "properties": {"expression": {"type": "string"}}},
    }
]

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="test-key", max_retries=0)


def ask(text, **more):
    messages = [{"role": "user", "content": text}]
    return client.messages.create(model="m", max_tokens=100, messages=messages, **more)


def stream(text, **more):
    """Returns the message that the SDK puts together from the events."""
    messages = [{"role": "user", "content": text}]
    with client.messages.stream(model="m", max_tokens=100, messages=messages, **more) as events:
        return events.get_final_message()


def check(name, got, wanted):
    if got != wanted:
        sys.exit(f"{name}: got {got!r}, wanted {wanted!r}")


for mode, send in [("plain", ask), ("streamed", stream)]:
    message = send("text")
    check(f"{mode} blocks", [(b.type, b.text) for b in message.content], [("text", "hello 世界 again")])
    check(f"{mode} stop", message.stop_reason, "end_turn")
    usage = message.usage
    check(f"{mode} prompt", usage.input_tokens > 0 and usage.cache_read_input_tokens > 0, True)
    check(f"{mode} output", usage.output_tokens > 1, True)

    called = send("calls", tools=TOOLS)
    check(f"{mode} call stop", called.stop_reason, "tool_use")
    check(
        f"{mode} calls",
        [(b.type, b.id, b.name, b.input) for b in called.content],
        [
            ("tool_use", "c1", "calculator", {"expression": "2+2"}),
            ("tool_use", "c2", "calculator", {"expression": "3×3"}),
        ],
    )

    thought = send("thinks").content
    check(f"{mode} kinds", [b.type for b in thought], ["thinking", "text"])
    check(f"{mode} thinking", (thought[0].thinking, thought[0].signature), ("hm 好", "sig+/="))

kinds = [event.type for event in ask("text", stream=True)]
check("first event", kinds[0], "message_start")
check("last event", kinds[-1], "message_stop")

for text, kind in [
    ("429", anthropic.RateLimitError),
    ("500", anthropic.InternalServerError),
    ("529", anthropic.InternalServerError),
    ("401", anthropic.AuthenticationError),
    ("400", anthropic.BadRequestError),
]:
    try:
        ask(text)
    except kind as error:
        check(f"{text} message", "scripted refusal" in str(error), True)
    else:
        sys.exit(f"{text}: no error")

print("the SDK understood everything")
