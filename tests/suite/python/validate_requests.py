"""Judges recorded request bodies by the request types of the official openai SDK.

Usage: validate_requests.py FILE, one JSON body a line. Exits 1 and names every body that the types refuse. Unknown keys
are refused at every depth, and nothing is converted: "1" is no number.
"""

import collections.abc
import json
import sys
import typing

import typing_extensions
from openai.types.chat import completion_create_params
from pydantic import ConfigDict, TypeAdapter, ValidationError


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
        return typing.Union[tuple(self.of(argument) for argument in arguments)]

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


def main():
    strict = Strict()
    adapters = {
        True: TypeAdapter(strict.of(completion_create_params.CompletionCreateParamsStreaming)),
        False: TypeAdapter(strict.of(completion_create_params.CompletionCreateParamsNonStreaming)),
    }
    checked = 0
    refused = 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            body = json.loads(line)
            checked += 1
            try:
                adapters[body.get("stream") is True].validate_json(line)
            except ValidationError as error:
                refused += 1
                print(f"body {number} is refused:")
                for fault in error.errors()[:20]:
                    place = ".".join(str(step) for step in fault["loc"])
                    print(f"  {place}: {fault['msg']}")
    print(f"{checked} bodies checked, {refused} refused")
    sys.exit(1 if refused or not checked else 0)


main()
