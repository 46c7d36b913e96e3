"""Rows of tool-use datasets as OpenAI messages: one form, whatever they were written in.

Read are OpenAI messages (``messages``, with or without ``tools``) and ShareGPT (``conversations`` of from and
value) with calls as ``function_call`` and ``observation`` turns or as ``<tool_call>`` blocks. In the result
every call has an id of its own and exactly one answer; an observation that says it is an error has the form
that the runner gives its own, and a call that goes through a meta-tool (``execute-tool`` whose arguments name
the tool) stands as a call of the real one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.agent_runner.trace import error_code
from services.console.export import decoded

Json = dict[str, Any]

MAX_MESSAGES: Final = 10_000
MAX_TOOLS: Final = 5_000
ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "tool_calls": "call",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "tool_result": "tool",
}
CALL_BLOCK: Final = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
RESPONSE_BLOCK: Final = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
TOOLS_BLOCK: Final = re.compile(r"<tools>\s*(.*?)\s*</tools>", re.DOTALL)
SAYS_ERROR: Final = re.compile(
    r"(?:[\w'\- ]{0,40}\berror\b|failed\b|exception\b|traceback\b|(?:tool )?call timed out)", re.IGNORECASE
)
"""How a text begins that tells of an error."""
IS_ERROR: Final = re.compile(r"\bis_?error\W{1,4}true\b", re.IGNORECASE)
ERROR_TAIL: Final = 200
"""Characters at the end of a text in which the mark of MCP, isError, is looked for."""
MCP_TEXT: Final = re.compile(r"meta=\S+ content=\[TextContent\(type='text', text=['\"]")
"""How the text of an MCP result begins that was printed by Python."""
META_KEYS: Final = frozenset(
    {
        "server_name",
        "server",
        "tool_name",
        "tool",
        "params",
        "arguments",
        "tool_arguments",
        "tool_input",
        "args",
    }
)
NOT_FINITE: Final = re.compile(r"(?<![\w\"])-?(?:NaN|Infinity)\b")


class Unusable(Exception):  # noqa: N818  (it names the finding)
    """Why a row cannot be measured: a code that can be counted, and the particulars."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class Trajectory:
    """A row in one form. ``tools`` are those offered, as ``{"name", "description", "parameters", …}``."""

    messages: list[Json] = field(default_factory=list)
    tools: list[Json] = field(default_factory=list)
    form: str = "openai"
    servers: dict[str, str] = field(default_factory=dict)
    """Of tools behind a meta-tool, the server named in the call."""


def trajectory(row: Any) -> Trajectory:
    """The trajectory of a row.

    Raises:
        Unusable: it is none, or one whose calls and answers do not fit together.
    """
    if not isinstance(row, dict):
        raise Unusable("not_a_row", f"a row is an object, not {type(row).__name__}")
    turns, form = row.get("messages"), "openai"
    if not isinstance(turns, list):
        turns, form = row.get("conversations"), "sharegpt"
    if not isinstance(turns, list):
        raise Unusable("no_messages", 'neither "messages" nor "conversations" is a list')
    if not turns:
        raise Unusable("no_messages", "there are no messages")
    if len(turns) > MAX_MESSAGES:
        raise Unusable("too_many_messages", f"{len(turns)} messages; at most {MAX_MESSAGES} are read")
    builder = _Builder(Trajectory(form=form))
    for number, turn in enumerate(turns):
        builder.take(number, turn)
    builder.close()
    made = builder.made
    made.tools = [*_offered(row.get("tools")), *_offered(row.get("functions")), *builder.offered]
    if len(made.tools) > MAX_TOOLS:
        raise Unusable("too_many_tools", f"{len(made.tools)} tools; at most {MAX_TOOLS} are read")
    if not made.tools and not builder.calls:
        raise Unusable("no_tools", "no tools: none is offered and none is called")
    if not any(message["role"] == "assistant" for message in made.messages):
        raise Unusable("no_assistant", "no turn of an assistant")
    return made


class _Builder:
    """Messages so far, and the calls that wait for their answers, in order: (id given, own id, name)."""

    def __init__(self, made: Trajectory) -> None:
        self.made = made
        self.offered: list[Json] = []
        self.calls = 0
        self._pending: list[tuple[str, str, str]] = []

    def take(self, number: int, turn: Any) -> None:
        """Take in one turn."""
        if not isinstance(turn, dict):
            raise Unusable("not_a_message", f"message {number} is no object")
        given = turn.get("role", turn.get("from"))
        role = ROLES.get(given) if isinstance(given, str) else None
        if role is None:
            raise Unusable("unknown_role", f"message {number} has the unknown role {str(given)[:40]!r}")
        text = _text(turn.get("content", turn.get("value")))
        if role == "tool" or (role == "user" and self._pending and RESPONSE_BLOCK.search(text)):
            self._answers(number, turn, text)
            return
        self.close()
        if role == "system":
            for block in TOOLS_BLOCK.findall(text):
                self.offered += _offered_text(block)
        if role in ("assistant", "call"):
            self._assistant(number, turn, text, only_calls=role == "call")
        else:
            self.made.messages.append({"role": role, "content": text})

    def close(self) -> None:
        """No further answers come to the calls that were made."""
        if self._pending:
            name = self._pending[0][2]
            raise Unusable("unpaired_call", f"the call of {name!r} has no answer")

    def _assistant(self, number: int, turn: Json, text: str, *, only_calls: bool) -> None:
        functions: list[tuple[str, Json]] = []
        for call in turn.get("tool_calls") or ():
            function = call.get("function", call) if isinstance(call, dict) else None
            functions.append(
                (str(call.get("id") or ""), function) if isinstance(function, dict) else ("", {})
            )
        if isinstance(turn.get("function_call"), dict):
            functions.append(("", turn["function_call"]))
        if only_calls:
            value = decoded(text)
            functions += [("", one) for one in (value if isinstance(value, list) else [value])]
            text = _text(turn.get("text"))
        else:
            functions += [("", decoded(block)) for block in CALL_BLOCK.findall(text)]
            text = CALL_BLOCK.sub("", text)
        calls = [self._call(number, given, function) for given, function in functions]
        message: Json = {"role": "assistant", "content": text}
        self.made.messages.append({**message, "tool_calls": calls} if calls else message)

    def _call(self, number: int, given: str, function: Any) -> Json:
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name:
            raise Unusable("bad_call", f"message {number} has a call without a name")
        written = function.get("arguments", function.get("parameters"))
        arguments = decoded(written) if isinstance(written, str) else written
        if isinstance(written, str) and NOT_FINITE.search(written) and not _finite(arguments):
            raise Unusable("not_finite", f"message {number}: an argument of {name!r} is NaN or infinite")
        name, arguments = self._real(name, arguments)
        text = json.dumps(arguments if arguments is not None else {}, ensure_ascii=False)
        identity = f"c{self.calls}"
        self.calls += 1
        self._pending.append((given, identity, name))
        return {"id": identity, "type": "function", "function": {"name": name, "arguments": text}}

    def _real(self, name: str, arguments: Any) -> tuple[str, Any]:
        """The tool that is meant, and what it is given: a meta-tool's arguments name both."""
        if not isinstance(arguments, dict) or not arguments.keys() <= META_KEYS:
            return name, arguments
        tool = arguments.get("tool_name", arguments.get("tool"))
        server = arguments.get("server_name", arguments.get("server"))
        inner = [
            value
            for key, value in arguments.items()
            if key in META_KEYS and key[0] in "pat" and _nests(value)
        ]
        if not isinstance(tool, str) or not tool or len(inner) != 1:
            return name, arguments
        real = f"{server}/{tool}" if isinstance(server, str) and server else tool
        if isinstance(server, str) and server:
            self.made.servers[real] = server
        return real, decoded(inner[0]) if isinstance(inner[0], str) else inner[0]

    def _answers(self, number: int, turn: Json, text: str) -> None:
        given = str(turn.get("tool_call_id") or "")
        results = RESPONSE_BLOCK.findall(text) or [text]
        if len(results) == 1 and len(self._pending) > 1 and not given and self.made.form == "sharegpt":
            value = decoded(results[0])
            if isinstance(value, list) and len(value) == len(self._pending):
                results = [
                    one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in value
                ]
        for result in results:
            self._answer(number, given, result)

    def _answer(self, number: int, given: str, result: str) -> None:
        waiting = [one for one in self._pending if not given or one[0] == given]
        if not waiting:
            what = f"to {given[:60]!r}" if given else "to nothing"
            raise Unusable("unpaired_answer", f"message {number} is an answer {what}: no call waits for it")
        self._pending.remove(waiting[0])
        _, identity, name = waiting[0]
        content = observation(result)
        self.made.messages.append(
            {"role": "tool", "tool_call_id": identity, "name": name, "content": content}
        )


def observation(text: str) -> str:
    """An observation; one that says it is an error in the runner's form, ``{"error": {"code", "message"}}``.

    An error is: an object with ``isError`` or ``is_error`` true, ``success`` false, ``status`` error or
    failed, or an ``error`` that is not empty; a text that ends in MCP's ``isError: true``; and one that
    begins with words of failure. These readings are ours.
    """
    value = decoded(text)
    if error_code(value):
        return text
    if isinstance(value, dict):
        failed = (
            value.get("isError") is True
            or value.get("is_error") is True
            or value.get("success") is False
            or value.get("status") in ("error", "failed")
            or bool(value.get("error"))
        )
    elif isinstance(value, str):
        plain = MCP_TEXT.sub("", text, count=1).lstrip()
        failed = IS_ERROR.search(text[-ERROR_TAIL:]) is not None or SAYS_ERROR.match(plain) is not None
    else:
        failed = False
    if not failed:
        return text
    return json.dumps({"error": {"code": "tool_error", "message": value}}, ensure_ascii=False)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        parts = [part.get("text") for part in content]
        if any(isinstance(part, str) for part in parts):
            return "\n".join(part for part in parts if isinstance(part, str))
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _offered(tools: Any) -> list[Json]:
    """The tools of a column: a list of OpenAI tools or functions, or JSON text of one."""
    value = decoded(tools) if isinstance(tools, str) else tools
    if isinstance(value, dict):
        value = [value]
    return list(_functions(value)) if isinstance(value, list) else []


def _offered_text(block: str) -> list[Json]:
    """The tools of a ``<tools>`` block: a JSON list, or one object a line."""
    value = decoded(block)
    if isinstance(value, str):
        value = [decoded(line) for line in block.splitlines()]
    return _offered(value)


def _functions(tools: Sequence[Any]) -> Iterator[Json]:
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        inner = tool.get("function")
        function = {**tool, **inner} if isinstance(inner, dict) else tool
        if isinstance(function.get("name"), str):
            yield function


def _nests(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and isinstance(decoded(value), dict))


def _finite(value: Any) -> bool:
    """Whether every number is one that JSON knows."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
