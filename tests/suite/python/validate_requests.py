"""Judges recorded request bodies by the request types of an official SDK.

Usage: validate_requests.py SDK FILE, SDK being openai or anthropic, one JSON body a line. Exits 1 and names every body
that the types refuse. Unknown keys are refused at every depth, and nothing is converted: "1" is no number.
"""

import collections.abc
import functools
import json
import sys
import types
import typing

import typing_extensions
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError


def is_answer(kind):
    """Says whether a type is made of the classes of answers only; they may stand in requests and take any key."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return True
    arguments = typing_extensions.get_args(kind)
    if typing_extensions.get_origin(kind) is typing.Annotated:
        return is_answer(arguments[0])
    union = typing_extensions.get_origin(kind) in (typing.Union, types.UnionType)
    return union and all(is_answer(argument) for argument in arguments)


class Strict:
    """Rebuilds types so that pydantic refuses unknown keys and looks into iterables at once."""

    def __init__(self):
        self.done = {}

    def of(self, kind):
        if typing_extensions.is_typeddict(kind):
            return self.typed_dict(kind)
        origin = typing_extensions.get_origin(kind)
        arguments = typing_extensions.get_args(kind)
        if origin is None or origin is typing.Literal:
            return kind
        if origin in (typing_extensions.Required, typing_extensions.NotRequired):
            return origin[self.of(arguments[0])]
        if origin is typing.Annotated:
            return self.of(arguments[0])
        if origin in (collections.abc.Iterable, collections.abc.Sequence, list):
            return list[self.of(arguments[0])]
        if origin is dict:
            return dict[arguments[0], self.of(arguments[1])]
        # Union, in both spellings.
        return typing.Union[tuple(self.of(argument) for argument in arguments if not is_answer(argument))]

    def typed_dict(self, kind):
        if kind not in self.done:
            hints = typing_extensions.get_type_hints(kind, include_extras=True)
            fields = {}
            for name, hint in hints.items():
                strict = self.of(hint)
                marked = typing_extensions.get_origin(strict) in (
                    typing_extensions.Required,
                    typing_extensions.NotRequired,
                )
                required = name in kind.__required_keys__
                if not marked:
                    mark = typing_extensions.Required if required else typing_extensions.NotRequired
                    strict = mark[strict]
                fields[name] = strict
            made = typing_extensions.TypedDict(kind.__name__, fields)
            made.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
            self.done[kind] = made
        return self.done[kind]


def request_types(sdk):
    """Returns the types of a streaming and of a plain request."""
    if sdk == "openai":
        from openai.types.chat import completion_create_params as params

        return params.CompletionCreateParamsStreaming, params.CompletionCreateParamsNonStreaming
    from anthropic.types import message_create_params as params

    return params.MessageCreateParamsStreaming, params.MessageCreateParamsNonStreaming


def main():
    strict = Strict()
    streaming, plain = request_types(sys.argv[1])
    # Building one takes longer than checking a thousand bodies.
    adapter = functools.cache(lambda stream: TypeAdapter(strict.of(streaming if stream else plain)))
    checked = 0
    refused = 0
    with open(sys.argv[2], encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            body = json.loads(line)
            checked += 1
            try:
                adapter(body.get("stream") is True).validate_json(line)
            except ValidationError as error:
                refused += 1
                print(f"body {number} is refused:")
                for fault in error.errors()[:20]:
                    # Steps that list a whole union say nothing.
                    place = ".".join(str(step) for step in fault["loc"] if len(str(step)) < 60)
                    print(f"  {place}: {fault['msg']}")
    print(f"{checked} bodies checked, {refused} refused")
    sys.exit(1 if refused or not checked else 0)


main()
