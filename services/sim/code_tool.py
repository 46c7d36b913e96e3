"""The code tool as an assistant is offered it, and what a call of it holds and returns."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from schemas.catalog import ToolSpec

CODE_SERVER: Final = "tds/sandbox"
"""Server id of the code tool; none that a catalog would have."""
CODE_TOOL: Final = "run_code"
MAX_PARSED: Final = 100_000
"""Characters of code or of a text in it that are looked into."""


def code_tool(packages: Sequence[str]) -> ToolSpec:
    """The code tool. ``packages`` are names and versions; the assistant is told the names.

    Versions are left out, so that what an assistant reads does not change with every release of one.
    """
    names = ", ".join(package.partition(" ")[0] for package in packages)
    allowed = f"the standard library and {names}" if names else "the standard library, nothing else"
    return ToolSpec(
        server=CODE_SERVER,
        name=CODE_TOOL,
        description=(
            "Run Python code in a sandbox and return what it prints. Variables and files are kept from call "
            f"to call. There is no network. Allowed imports: {allowed}."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "Python source. Print what you want to know."}
            },
            "required": ["code"],
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {
                "outcome": {"type": "string", "description": "ok, or what went wrong"},
                "stdout": {"type": "string"},
                "stderr": {"type": "string"},
                "exit_code": {"type": "integer"},
            },
            "required": ["outcome"],
        },
    )


def is_code_tool(tool: ToolSpec) -> bool:
    """Whether this is the code tool, and none of a catalog's."""
    return tool.server == CODE_SERVER and tool.name == CODE_TOOL


def simulated(tools: Iterable[ToolSpec]) -> list[ToolSpec]:
    """The tools that a world stands behind: all but the code tool."""
    return [tool for tool in tools if not is_code_tool(tool)]


def printed(observation: Any) -> Any:
    """The JSON value that code has printed, of an observation of the code tool; else the text as it is.

    None where the observation holds no output.
    """
    stdout = observation.get("stdout") if isinstance(observation, dict) else None
    if not isinstance(stdout, str):
        return None
    try:
        return json.loads(stdout)
    except (ValueError, RecursionError):
        return stdout


def literals(code: str) -> tuple[Any, ...]:
    """All strings and numbers that stand in Python code, those of JSON texts in it included.

    Of what is no Python, nothing.
    """
    return _read(code)[0]


def records(code: str) -> tuple[Any, ...]:
    """The strings and numbers of tables in Python code: lists of dicts, tuples or lists, and JSON texts.

    What code says of the world stands in tables; other values are its own business.
    """
    return _read(code)[1]


@lru_cache(maxsize=64)
def _read(code: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if len(code) > MAX_PARSED:
        return (), ()
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return (), ()
    whole: list[Any] = []
    tabled: list[Any] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            inner = list(_inside(node.value))
            whole += [*_scalar(node.value), *inner]
            tabled += inner
        elif isinstance(node, ast.UnaryOp):
            whole += _constant(node)
        elif isinstance(node, ast.List | ast.Tuple):
            for row in node.elts:
                cells = (
                    row.values
                    if isinstance(row, ast.Dict)
                    else row.elts
                    if isinstance(row, ast.Tuple | ast.List)
                    else []
                )
                tabled += [value for cell in cells for value in _constant(cell)]
    return tuple(whole), tuple(tabled)


def _constant(node: ast.AST) -> Iterator[Any]:
    """The string or number that an expression is, a sign before it included."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield from (-value for value in _constant(node.operand) if not isinstance(value, str))
    elif isinstance(node, ast.Constant):
        yield from _scalar(node.value)


def _scalar(value: object) -> Iterator[Any]:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value


def _inside(value: object) -> Iterator[Any]:
    """The leaves of the JSON that a text is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") and len(value) <= MAX_PARSED:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return
        pending = [found]
        while pending:
            part = pending.pop(0)
            if isinstance(part, dict | list):
                pending[:0] = part.values() if isinstance(part, dict) else part
            else:
                yield from _scalar(part)
