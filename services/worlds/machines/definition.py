"""A small language for hand-written servers: fields, objects of fields, tools, and the machine of them.

A server names each of its fields once, with its JSON Schema, the word a user has for it and, for values
that a user makes up, plausible examples. Tools then speak of fields by name: ``"order_id limit?"`` is a
required ``order_id`` and an optional ``limit``. One name means one thing within a server, so what one
tool yields is, by name, what another needs.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.catalog import ServerSpec, ToolSpec
from services.worlds.machine import Handler, Machine, State

Schema = dict[str, Any]
Pools = Mapping[str, Callable[[State], list[Any]]]


@dataclass(frozen=True, slots=True)
class Field:
    """A named value: its JSON Schema, how a user calls it, and examples of what a user would say."""

    schema: Schema
    label: str = ""
    say: tuple[Any, ...] = ()


def text(label: str, description: str, say: Iterable[str] = (), **keywords: Any) -> Field:
    """A string; ``keywords`` are further JSON Schema keywords (``format``, ``pattern``)."""
    return Field({"type": "string", "description": description, **keywords}, label, tuple(say))


def choice(label: str, description: str, values: Iterable[str], **keywords: Any) -> Field:
    """A string out of ``values``."""
    return Field({"type": "string", "description": description, "enum": list(values), **keywords}, label)


def integer(label: str, description: str, say: Iterable[int] = (), **keywords: Any) -> Field:
    """A whole number."""
    return Field({"type": "integer", "description": description, **keywords}, label, tuple(say))


def number(label: str, description: str, say: Iterable[float] = (), **keywords: Any) -> Field:
    """A number; amounts of money have two decimals."""
    return Field({"type": "number", "description": description, **keywords}, label, tuple(say))


def flag(label: str, description: str, **keywords: Any) -> Field:
    """True or false."""
    return Field({"type": "boolean", "description": description, **keywords}, label)


def array(description: str, items: Schema) -> Field:
    """A list of ``items``; for outputs."""
    return Field({"type": "array", "description": description, "items": items})


def limit(default: int = 10) -> Field:
    """The usual bound on the length of a list."""
    return integer(
        "number of results", "Maximum number of results to return.", default=default, minimum=1, maximum=50
    )


class Fields(dict[str, Field]):
    """The fields of a server, by name. A name that ends in ``?`` is optional."""

    def names(self, spec: str) -> tuple[list[str], list[str]]:
        """All names of ``spec``, and the required ones.

        Raises:
            KeyError: when a name is not a field of the server.
        """
        words = spec.split()
        every = [word.removesuffix("?") for word in words]
        unknown = [name for name in every if name not in self]
        if unknown:
            raise KeyError(f"{spec!r} speaks of {unknown}, which are no fields of this server")
        return every, [word for word in words if not word.endswith("?")]

    def object(self, spec: str) -> Schema:
        """Schema of an output object with the fields of ``spec``."""
        every, required = self.names(spec)
        properties = {
            name: {key: value for key, value in self[name].schema.items() if key != "default"}
            for name in every
        }
        return {"type": "object", "properties": properties, "required": required}

    def listing(self, key: str, spec: str) -> Schema:
        """Schema of a list tool's output: ``key`` holds the records, ``total_found`` counts all matches."""
        total = {"type": "integer", "description": "Number of matches, of which the first are returned."}
        properties = {key: {"type": "array", "items": self.object(spec)}, "total_found": total}
        return {"type": "object", "properties": properties, "required": [key, "total_found"]}

    def input(self, spec: str) -> Schema:
        """Input schema of a tool with the parameters of ``spec``; closed against others."""
        every, required = self.names(spec)
        schema: Schema = {"type": "object", "properties": {name: self[name].schema for name in every}}
        if required:
            schema["required"] = required
        return {**schema, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool and its behaviour. ``takes`` names its parameters, ``gives`` is its output schema."""

    name: str
    description: str
    takes: str
    gives: Schema
    phrases: tuple[str, ...]
    writes: bool
    handler: Handler


def read(takes: str, gives: Schema, *phrases: str) -> Callable[[Handler], Tool]:
    """Makes a handler a tool that leaves the state as it is. Its docstring is the tool's description."""
    return lambda handler: _tool(takes, gives, phrases, handler, writes=False)


def write(takes: str, gives: Schema, *phrases: str) -> Callable[[Handler], Tool]:
    """Makes a handler a tool that changes the state. Its docstring is the tool's description."""
    return lambda handler: _tool(takes, gives, phrases, handler, writes=True)


def _tool(takes: str, gives: Schema, phrases: tuple[str, ...], handler: Handler, *, writes: bool) -> Tool:
    description = " ".join((inspect.getdoc(handler) or "").split())
    name = handler.__name__
    if not description:
        raise ValueError(f"{name} has no docstring, which is its description; do not run Python with -OO")
    return Tool(name, description, takes, gives, phrases, writes, handler)


def machine(
    server: str,
    name: str,
    description: str,
    *,
    domain: str,
    fields: Fields,
    tools: Iterable[Tool],
    initial: Callable[[random.Random], State],
    pools: Pools,
) -> Machine:
    """The machine of a server: its definitions, its first state, its behaviour, and a user's words for it."""
    tools = tuple(tools)
    specs = tuple(
        ToolSpec(
            server=server,
            name=tool.name,
            description=tool.description,
            input_schema=fields.input(tool.takes),
            output_schema=tool.gives,
        )
        for tool in tools
    )
    parameters = {parameter: fields[parameter] for tool in tools for parameter in fields.names(tool.takes)[0]}
    return Machine(
        server=ServerSpec(id=server, name=name, description=description, domains=(domain,), tools=specs),
        initial=initial,
        handlers={tool.name: tool.handler for tool in tools},
        writes=frozenset(tool.name for tool in tools if tool.writes),
        phrases={tool.name: tool.phrases for tool in tools},
        pools=pools,
        labels={parameter: field.label for parameter, field in parameters.items()},
        verbatim={parameter: field.say for parameter, field in parameters.items() if field.say},
    )
