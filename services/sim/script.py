"""The scripted actors' stage directions: which tool comes next, and *where* to read each argument.

A script never holds a value. Everything an actor says or passes is read from the messages it was
given, so a changed message changes what it does. Scripts go to ``sim`` models only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.blueprint import Work
from schemas.envelope import Value


class ReadUser(Value):
    """The text of message ``message`` (index into the messages) between two anchors.

    ``after`` is the text just before the value: its first occurrence counts. ``before`` is the text just
    after the value: where the message ends with it, the value reaches to there, else to its first
    occurrence (so a value may hold what ends a sentence).
    """

    kind: Literal["user"] = "user"
    message: int
    after: str
    before: str = ""


class Ask(Value):
    """The user has not said it yet: ask for it, by this label."""

    kind: Literal["ask"] = "ask"
    label: str


class ReadResult(Value):
    """The value at ``path`` of the successful observation of step ``step``."""

    kind: Literal["result"] = "result"
    step: str
    path: tuple[str | int, ...]


class ReadSchema(Value):
    """What the tool's input schema fixes at this argument: its default, const, or enum member."""

    kind: Literal["schema"] = "schema"
    of: Literal["default", "const", "enum"]
    index: int = 0


class ReadObject(Value):
    """An object, field by field."""

    kind: Literal["object"] = "object"
    fields: dict[str, Read]


class ReadList(Value):
    """An array, item by item."""

    kind: Literal["list"] = "list"
    items: tuple[Read, ...]


Read = Annotated[
    ReadUser | Ask | ReadResult | ReadSchema | ReadObject | ReadList, Field(discriminator="kind")
]


class ScriptWork(Value):
    """Code to write: what it works out, from which results, and where each fact in it is read."""

    work: Work
    facts: dict[str, Read] = Field(default_factory=dict)


class ScriptStep(Value):
    """One call to make; steps of one ``wave`` go out in one turn.

    ``purpose`` is what the user would call it ("find my open invoices"), for the summary at the end. A step
    with ``code`` is a call of the code tool: its one argument is written, not read.
    """

    id: str
    tool: str
    wave: int
    arguments: dict[str, Read] = Field(default_factory=dict)
    purpose: str = ""
    code: ScriptWork | None = None


class ScriptAnswer(Value):
    """One thing to report in the final answer."""

    label: str
    step: str
    path: tuple[str | int, ...]


class AssistantScript(Value):
    """What the scripted assistant is handed beside the messages."""

    steps: tuple[ScriptStep, ...]
    answer: tuple[ScriptAnswer, ...]
