"""agent-runner: plays a blueprint out, one turn at a time, and verifies what happened.

A run's state is a fold of its events; what comes next follows from the state alone. The dialogue is
user → assistant → (tools → assistant)* → user …, until the user ends it or a limit does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.blueprint import Blueprint, BlueprintPlanned, BlueprintRejected, Usage
from schemas.envelope import Envelope, Message
from schemas.run import (
    AssistantSpoke,
    Attribution,
    Finding,
    RunFailed,
    RunFinished,
    RunStarted,
    ToolCall,
    ToolReturned,
    UserSpoke,
    Verdict,
    retry_of,
)
from schemas.sandbox import CodeExecuted, ExecuteCode
from services.agent_runner.conversation import message, observation_text, opening
from services.agent_runner.trace import actions, content_hash
from services.agent_runner.verify import unusable, verify
from services.kit.service import Append, Closed, Draft, Perform, Step, Wait
from services.sim.code_tool import is_code_tool, simulated
from services.worlds.world import Observation, World

Json = dict[str, Any]

OBSERVATION_BYTES: Final = 32 * 1024
MAX_CALLS: Final = 16
"""Tool calls in one assistant turn."""
MAX_TEXT: Final = 64 * 1024
"""Characters of one turn: its text, and ids, names and arguments of its calls."""
FAULTS: Final = {
    "timeout": "The request timed out. Please try again.",
    "rate_limited": "Too many requests. Please try again in a moment.",
    "unavailable": "The service is temporarily unavailable. Please try again.",
}


@dataclass(frozen=True, slots=True)
class AskAssistant:
    """Effect: the assistant's next turn."""

    blueprint: Blueprint
    turn: int
    messages: tuple[Json, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class AskUser:
    """Effect: the user simulator's next turn."""

    blueprint: Blueprint
    turn: int
    messages: tuple[Json, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class CallTool:
    """Effect: one call's observation. ``fault``: the plan injects this error instead."""

    blueprint: Blueprint
    turn: int
    messages: tuple[Json, ...]
    usage: Usage
    call: ToolCall
    world: World
    state: Json
    fault: str = ""


@dataclass(frozen=True, slots=True)
class AskJudge:
    """Effect: the judge's opinion, once the rules have passed."""

    blueprint: Blueprint
    turn: int
    messages: tuple[Json, ...]
    usage: Usage
    world: World | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of a run: a fold of its events.

    ``early`` holds events of the run that were read before its blueprint; ``waiting`` are the calls of
    the last assistant turn that have no answer yet; ``world`` and ``state`` are the tools' side.
    """

    key: str
    blueprint: Blueprint | None = None
    event: str = ""
    world: World | None = None
    state: Json | None = None
    early: tuple[Message, ...] = ()
    started: bool = False
    turn: int = 0
    messages: tuple[Json, ...] = ()
    waiting: tuple[ToolCall, ...] = ()
    faults: tuple[str, ...] = ()
    """Tools whose calls have been answered by an injected fault, one entry a fault."""
    sent: frozenset[str] = frozenset()
    executed: tuple[CodeExecuted, ...] = ()
    usage: Usage = Usage()  # noqa: RUF009  (frozen)
    ended: bool = False
    closed: bool = False


def initial(key: str) -> Run:
    """Nothing is known yet."""
    return Run(key)


def evolve(run: Run, envelope: Envelope) -> Run:
    """Fold one event of the run; the order between topics does not matter."""
    data = envelope.data
    if isinstance(data, BlueprintRejected):
        return replace(run, closed=True)
    if isinstance(data, ExecuteCode):
        return replace(run, sent=run.sent | {data.call})
    if isinstance(data, CodeExecuted):
        return replace(run, executed=(*run.executed, data))
    if isinstance(data, BlueprintPlanned):
        blueprint, early = data.blueprint, run.early
        run = replace(
            run,
            blueprint=blueprint,
            event=envelope.id,
            world=World(simulated(blueprint.tools), blueprint.seed),
            state=blueprint.initial_state,
            messages=(opening(),),
            usage=data.usage,
            early=(),
        )
        for event in early:
            run = _apply(run, event)
        return run
    if isinstance(data, RunFinished | RunFailed):
        return replace(run, closed=True)
    if run.blueprint is None:
        return replace(run, early=(*run.early, data))
    return _apply(run, data)


def _apply(run: Run, data: Message) -> Run:
    assert run.world is not None
    assert run.state is not None
    match data:
        case RunStarted():
            return replace(run, started=True)
        case UserSpoke():
            spoken = () if data.ends else (message(data),)
            return replace(
                run,
                turn=data.turn + 1,
                messages=(*run.messages, *spoken),
                ended=data.ends,
                usage=run.usage + data.usage,
            )
        case AssistantSpoke():
            return replace(
                run,
                turn=data.turn + 1,
                messages=(*run.messages, message(data)),
                waiting=data.calls,
                usage=run.usage + data.usage,
            )
        case ToolReturned():
            call = next(call for call in run.waiting if call.id == data.call)
            state = run.state
            if not data.fault and not _is_code(run.blueprint, call.name):
                state, _ = run.world.call(state, call.name, arguments(call) or {})
            return replace(
                run,
                turn=data.turn + 1,
                messages=(*run.messages, message(data)),
                waiting=tuple(other for other in run.waiting if other.id != data.call),
                faults=(*run.faults, data.name) if data.fault else run.faults,
                state=state,
                usage=run.usage + data.usage,
            )
        case _:
            return run


def next_step(run: Run, _reference: object) -> Step:
    """What the run needs now."""
    blueprint = run.blueprint
    if run.closed:
        return Closed()
    if blueprint is None:
        return Wait("its blueprint")
    if not run.started:
        return _append(run, RunStarted(run=run.key, campaign=blueprint.campaign, blueprint_event=run.event))
    last = run.messages[-1]
    if run.ended:
        return _conclude(run, blueprint)
    if last["role"] == "assistant" and not run.waiting and last.get("tool_calls"):
        return _append(run, failed(blueprint, "assistant", "empty_calls", "calls without answers", run.usage))
    limit = _limit(run, blueprint)
    if limit is not None:
        return _append(run, limit)
    if last["role"] == "system":
        return _append(run, UserSpoke(run=run.key, turn=0, content=blueprint.goal))
    if run.waiting:
        return _answer(run, blueprint)
    if last["role"] == "assistant":
        return Perform(AskUser(blueprint, run.turn, run.messages, run.usage))
    return Perform(AskAssistant(blueprint, run.turn, run.messages, run.usage))


def _conclude(run: Run, blueprint: Blueprint) -> Step:
    """The run is over: the rules first, the judge only when they have passed."""
    verdict = verify(blueprint, run.messages, run.world)
    if verdict.passed:
        return Perform(AskJudge(blueprint, run.turn, run.messages, run.usage, run.world))
    return _append(run, finished(blueprint, run.messages, verdict, run.usage, world=run.world))


def _answer(run: Run, blueprint: Blueprint) -> Step:
    """The next call without an answer; calls that can never be part of a good run end it at once.

    They are looked at when their turn is fresh: a turn of which a call is answered has passed.
    """
    latest = len(run.messages) - 1
    fresh = run.messages[latest]["role"] == "assistant"
    findings = unusable(blueprint, run.messages, latest) if fresh else ()
    if findings:
        return _append(
            run, finished(blueprint, run.messages, Verdict(passed=False, findings=findings), run.usage)
        )
    assert run.world is not None
    assert run.state is not None
    call = run.waiting[0]
    if _is_code(blueprint, call.name):
        return _code(run, blueprint, call)
    fault = planned_fault(blueprint, call.name, run.faults)
    return Perform(CallTool(blueprint, run.turn, run.messages, run.usage, call, run.world, run.state, fault))


def _code(run: Run, blueprint: Blueprint, call: ToolCall) -> Step:
    """A call of the code tool: sent to the sandbox, and its answer taken as the observation."""
    answer = next((one for one in run.executed if one.call == call.id), None)
    if answer is not None and answer.diverged:
        return _append(run, diverged(blueprint, answer, run.usage))
    if answer is not None:
        return _append(run, code_returned(run.key, run.turn, call, answer))
    if call.id in run.sent:
        return Wait("the sandbox")
    given = arguments(call) or {}
    command = ExecuteCode(
        run=run.key,
        turn=run.turn,
        call=call.id,
        language=str(given.get("language", "python")),
        code=str(given.get("code", "")),
    )
    return Append((Draft(run.key, command, blueprint.campaign),))


def code_returned(run: str, turn: int, call: ToolCall, answer: CodeExecuted) -> ToolReturned:
    """The observation of a code call: what the sandbox said, as a JSON object."""
    content = answer.model_dump(
        mode="json",
        include={
            "outcome",
            "reason",
            "exit_code",
            "stdout",
            "stderr",
            "stdout_truncated",
            "stderr_truncated",
            "files",
        },
        exclude_defaults=True,
    )
    text, size = observation_text(content, OBSERVATION_BYTES)
    error = "" if answer.outcome == "ok" else answer.outcome
    return ToolReturned(
        run=run, turn=turn, call=call.id, name=call.name, content=text, error=error, size_bytes=size
    )


def diverged(blueprint: Blueprint, answer: CodeExecuted, usage: Usage) -> RunFailed:
    """The run's session was lost, and its code does not do the same again.

    The first time the attempt is begun anew, as after any failure of infrastructure, and the event says why;
    when the attempt has been repeated already, its code is at fault.
    """
    if not retry_of(blueprint.id):
        return failed(blueprint, "infrastructure", "session_diverged", answer.reason, usage, content=False)
    return failed(blueprint, "assistant", "session_diverged", answer.reason, usage)


def _limit(run: Run, blueprint: Blueprint) -> RunFailed | None:
    """The limit that the run has reached, if any."""
    allowance = blueprint.allowance
    spoken = sum(one["role"] in ("user", "assistant") for one in run.messages)
    if spoken > blueprint.max_turns:
        return failed(blueprint, "limit", "turns", f"more than {blueprint.max_turns} turns", run.usage)
    if allowance.usd and run.usage.usd >= allowance.usd:
        return failed(blueprint, "limit", "allowance_usd", f"{allowance.usd} USD are spent", run.usage)
    if allowance.tokens and run.usage.tokens >= allowance.tokens:
        return failed(
            blueprint, "limit", "allowance_tokens", f"{allowance.tokens} tokens are spent", run.usage
        )
    return None


def planned_fault(blueprint: Blueprint, tool: str, faults: Sequence[str]) -> str:
    """The error that the plan injects into this call, or nothing: the first calls of the step's tool."""
    given = faults.count(tool)
    for step in blueprint.steps:
        if step.tool == tool and step.fault is not None:
            if given < step.fault.times:
                return step.fault.error
            given -= step.fault.times
    return ""


def tool_returned(
    effect: CallTool, observation: Observation, usage: Usage, request: str = ""
) -> ToolReturned:
    """The event of one observation."""
    text, size = observation_text(observation.content, OBSERVATION_BYTES)
    return ToolReturned(
        run=effect.blueprint.id,
        turn=effect.turn,
        call=effect.call.id,
        name=effect.call.name,
        content=text,
        error=observation.error,
        fault=bool(effect.fault),
        size_bytes=size,
        usage=usage,
        request=request,
    )


def fault_observation(error: str) -> Observation:
    """What an injected fault looks like."""
    return Observation({"error": {"code": error, "message": FAULTS[error]}}, error)


def arguments(call: ToolCall) -> Json | None:
    """A call's arguments, or None where they are no JSON object."""
    try:
        value = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def finished(
    blueprint: Blueprint,
    messages: Sequence[Json],
    verdict: Verdict,
    usage: Usage,
    request: str = "",
    world: World | None = None,
) -> RunFinished:
    """The run's end, with everything that the monitor counts."""
    return RunFinished(
        run=blueprint.id,
        campaign=blueprint.campaign,
        generation=blueprint.generation,
        slot=blueprint.slot,
        attempt=blueprint.attempt,
        verdict=verdict,
        actions=actions(blueprint, messages, world),
        content_hash=content_hash(blueprint.tools, messages),
        usage=usage,
        request=request,
    )


def judged(passed: bool, reason: str) -> Verdict:
    """The verdict once the rules have passed and the judge has spoken."""
    findings = () if passed else (Finding(code="judge", attribution="judge", detail=reason),)
    return Verdict(passed=passed, findings=findings, judge=reason)


def failed(
    blueprint: Blueprint,
    attribution: Attribution,
    code: str,
    detail: str,
    usage: Usage,
    *,
    content: bool = True,
) -> RunFailed:
    """The run broke off."""
    return RunFailed(
        run=blueprint.id,
        campaign=blueprint.campaign,
        generation=blueprint.generation,
        slot=blueprint.slot,
        attempt=blueprint.attempt,
        content=content,
        attribution=attribution,
        code=code,
        detail=detail[:2000].encode(errors="replace").decode(),
        usage=usage,
    )


def _append(run: Run, data: Message) -> Append:
    campaign = run.blueprint.campaign if run.blueprint is not None else ""
    return Append((Draft(run.key, data, campaign),))


def _is_code(blueprint: Blueprint | None, tool: str) -> bool:
    return blueprint is not None and any(one.name == tool and is_code_tool(one) for one in blueprint.tools)
