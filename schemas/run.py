"""What happens in a run, turn by turn. Owner: agent-runner."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

from schemas.blueprint import Usage
from schemas.envelope import Message, Value

Attribution = Literal["assistant", "user", "tools", "judge", "model", "infrastructure", "limit"]
ActionKind = Literal["read", "write", "code", "clarify", "confirm", "refuse", "answer"]


def run_id(campaign: str, slot: int, attempt: int, retry: int = 0) -> str:
    """Id of a run; the key of all its messages. ``retry`` > 0 repeats an attempt."""
    return f"{campaign}.{slot}.{attempt}" + (f".{retry}" if retry else "")


@lru_cache(maxsize=4096)  # every reader of every message asks, and runs come in bursts
def slot_of(run: str) -> int:
    """The slot that a run id names.

    Raises:
        ValueError: when ``run`` is not of the form that ``run_id`` makes.
    """
    parts = run.split(".")
    if len(parts) not in (3, 4) or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        message = f"not a run id: {run!r}; the form is campaign.slot.attempt or campaign.slot.attempt.retry"
        raise ValueError(message)
    return int(parts[1])


def retry_of(run: str) -> int:
    """How often an attempt was repeated before this run of it; 0 for its first."""
    parts = run.split(".")
    return int(parts[3]) if len(parts) == 4 else 0


class ToolCall(Value):
    """One call as the assistant made it: ``arguments`` is the text it wrote, valid JSON or not."""

    id: str
    name: str
    arguments: str


class RunStarted(Message):
    """A run begins. ``blueprint_event`` is the id of the BlueprintPlanned event it works from."""

    FAMILY: ClassVar[str] = "run"
    VERSION: ClassVar[int] = 2
    run: str
    campaign: str
    blueprint_event: str


class UserSpoke(Message):
    """The user simulator's turn. ``ends``: the user has what they wanted, or gives up; nothing follows."""

    FAMILY: ClassVar[str] = "run"
    run: str
    turn: int
    content: str
    ends: bool = False
    usage: Usage = Usage()
    request: str = ""


class AssistantSpoke(Message):
    """The assistant's turn: a text, calls, or both. ``request`` is the digest of what it was asked."""

    FAMILY: ClassVar[str] = "run"
    run: str
    turn: int
    content: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    request: str = ""


class ToolReturned(Message):
    """One observation. ``error`` is empty on success; ``fault``: the error was injected by the plan.

    ``content`` is JSON text, cut at the observation limit; ``size_bytes`` is its full size when cut.
    """

    FAMILY: ClassVar[str] = "run"
    run: str
    turn: int
    call: str
    name: str
    content: str
    error: str = ""
    fault: bool = False
    size_bytes: int = 0
    usage: Usage = Usage()
    request: str = ""


class Finding(Value):
    """One violated rule: a code that can be counted, who is at fault, and the particulars."""

    code: str
    attribution: Attribution
    detail: str = ""


class Verdict(Value):
    """The outcome of verification by rules, and of the judge after them."""

    passed: bool
    findings: tuple[Finding, ...] = ()
    judge: str = ""
    """What the judge said, when the rules had passed."""


class Action(Value):
    """One step of the executed trace, as the monitor counts it.

    ``arguments`` counts the leaves of the call's arguments; ``dependent`` those found only in an
    earlier observation; ``candidates`` is the number of tools offered; ``wave`` numbers the assistant
    turn, so that actions of one wave went out in parallel; ``repeat``: an identical call stands
    before it with neither an error nor a state change in between.
    """

    kind: ActionKind
    tool: str = ""
    domain: str = ""
    wave: int = 0
    arguments: int = 0
    dependent: int = 0
    candidates: int = 0
    error: bool = False
    retry: bool = False
    """The same tool was called before, and its answer was an error."""
    repeat: bool = False


class RunFinished(Message):
    """The run has come to its end and was verified. ``content_hash`` covers tools and messages."""

    FAMILY: ClassVar[str] = "run"
    run: str
    campaign: str
    generation: int
    slot: int
    attempt: int
    verdict: Verdict
    actions: tuple[Action, ...]
    content_hash: str
    usage: Usage = Usage()
    """All model calls of the run, the planner's included."""
    request: str = ""


class RunFailed(Message):
    """The run broke off.

    ``content``: a deterministic failure (another attempt with the next seed); otherwise one of
    infrastructure, which never decides a slot.
    """

    FAMILY: ClassVar[str] = "run"
    run: str
    campaign: str
    generation: int
    slot: int
    attempt: int
    content: bool
    attribution: Attribution
    code: str
    detail: str = ""
    usage: Usage = Usage()
