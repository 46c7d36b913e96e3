"""Wiring of agent-runner: its effects on models and simulated tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from schemas.blueprint import Blueprint, Usage
from schemas.envelope import Message
from schemas.evolution import RoleModel
from schemas.run import AssistantSpoke, Attribution, ToolCall, UserSpoke
from schemas.topics import BLUEPRINT_EVENTS, RUN_EVENTS, SANDBOX_COMMANDS, SANDBOX_EVENTS
from services.agent_runner import domain, prompts
from services.agent_runner.domain import AskAssistant, AskJudge, AskUser, CallTool
from services.kit.kafka.hosting import on_kafka
from services.kit.models.chat import ChatCall, ChatModel, ChatReply, ModelFailed
from services.kit.models.openai_wire import is_sim_named
from services.kit.service import Draft, Performer
from services.sim.actors import SimModel, delayed, parse_options
from services.worlds.world import Observation

Effect = AskAssistant | AskUser | CallTool | AskJudge
ROLES: Final[dict[type[Effect], Attribution]] = {
    AskAssistant: "assistant",
    AskUser: "user",
    CallTool: "tools",
    AskJudge: "judge",
}

MAX_CODE: Final = 100
"""Characters of the code of an error that a model made up."""


class BadReply(Exception):  # noqa: N818  (it is the reply that is bad; the code below stands in events)
    """A reply that cannot be used; ``code`` says how. It has been paid for all the same."""

    def __init__(self, code: str, detail: str, reply: ChatReply) -> None:
        super().__init__(detail)
        self.code = code
        self.usage = usage(reply)


def service(model: ChatModel) -> Performer:
    """The agent-runner, asking ``model``."""
    return Performer(
        name="agent-runner",
        lead=BLUEPRINT_EVENTS,
        inputs=(BLUEPRINT_EVENTS, RUN_EVENTS, SANDBOX_COMMANDS, SANDBOX_EVENTS),
        initial=domain.initial,
        evolve=domain.evolve,
        next_step=domain.next_step,
        perform=Actors(model).perform,
        gave_up=gave_up,
    )


def gave_up(run: domain.Run, effect: Effect, error: BaseException) -> Sequence[Draft]:
    """An effect raised something unforeseen for the last time: a failure of infrastructure."""
    failure = domain.failed(
        effect.blueprint, "infrastructure", type(error).__name__, str(error), run.usage, content=False
    )
    return [_draft(effect.blueprint, failure)]


class Actors:
    """Asks models and tools, and turns their replies into events."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def perform(self, effect: Effect) -> Sequence[Draft]:
        """What came of ``effect``: one event."""
        blueprint = effect.blueprint
        role = ROLES[type(effect)]
        event: Message
        try:
            match effect:
                case AskAssistant():
                    event = await self._assistant(effect)
                case AskUser():
                    event = await self._user(effect)
                case CallTool():
                    event = await self._tool(effect)
                case AskJudge():
                    event = await self._judge(effect)
        except BadReply as error:
            event = domain.failed(blueprint, role, error.code, str(error), effect.usage + error.usage)
        except ModelFailed as error:
            event = domain.failed(
                blueprint,
                "infrastructure" if error.infrastructure else "model",
                error.code,
                f"{role}: {error.detail}",
                effect.usage + Usage(calls=1),
                content=not error.infrastructure,
            )
        return [_draft(blueprint, event)]

    async def _assistant(self, effect: AskAssistant) -> AssistantSpoke:
        request = prompts.assistant_request(effect.blueprint, effect.turn, effect.messages)
        reply = await self._model.complete(request)
        if not reply.calls and not reply.content.strip():
            raise BadReply("empty_reply", "neither text nor calls", reply)
        if len(reply.calls) > domain.MAX_CALLS:
            detail = f"{len(reply.calls)} calls in one turn, at most {domain.MAX_CALLS}"
            raise BadReply("too_many_calls", detail, reply)
        _checked([reply.content, *(part for one in reply.calls for part in _parts(one))], reply)
        return AssistantSpoke(
            run=effect.blueprint.id,
            turn=effect.turn,
            content=reply.content.strip(),
            calls=named(reply.calls, effect.turn, effect.messages),
            usage=usage(reply),
            request=request.digest(),
        )

    async def _user(self, effect: AskUser) -> UserSpoke:
        request = prompts.user_request(effect.blueprint, effect.turn, effect.messages)
        reply = await self._model.complete(request)
        spoken = _object(reply)
        content, ends = spoken.get("content"), spoken.get("ends")
        if not isinstance(content, str) or not isinstance(ends, bool):
            raise BadReply("bad_reply", "expected {content: string, ends: boolean}", reply)
        if not content.strip() and not ends:
            raise BadReply("empty_reply", "nothing said and the conversation not ended", reply)
        _checked([content], reply)
        return UserSpoke(
            run=effect.blueprint.id,
            turn=effect.turn,
            content=content.strip(),
            ends=ends,
            usage=usage(reply),
            request=request.digest(),
        )

    async def _tool(self, effect: CallTool) -> Message:
        model = effect.blueprint.models.get("tools", RoleModel())
        if is_sim_named(model.model):
            options = parse_options(model.model.removeprefix("openai/"))
            await delayed(options, f"{effect.blueprint.seed}/{effect.turn}/tools")
        if effect.fault:
            return domain.tool_returned(effect, domain.fault_observation(effect.fault), Usage())
        given = domain.arguments(effect.call) or {}
        if is_sim_named(model.model):
            _, observation = effect.world.call(effect.state, effect.call.name, given)
            return domain.tool_returned(effect, observation, Usage())
        expected = prompts.expected(effect.blueprint, effect.call, effect.messages)
        request = prompts.tool_request(effect.blueprint, effect.turn, effect.call, effect.messages, expected)
        reply = await self._model.complete(request)
        content = _value(reply)
        error = ""
        if isinstance(content, dict) and isinstance(content.get("error"), dict):
            error = str(content["error"].get("code", "error"))[:MAX_CODE]
        return domain.tool_returned(effect, Observation(content, error), usage(reply), request.digest())

    async def _judge(self, effect: AskJudge) -> Message:
        request = prompts.judge_request(effect.blueprint, effect.turn, effect.messages)
        reply = await self._model.complete(request)
        verdict = _object(reply)
        if not isinstance(verdict.get("pass"), bool):
            raise BadReply("bad_reply", "expected {pass: boolean, reason: string}", reply)
        reason = str(verdict.get("reason", ""))[:500]
        judged = domain.judged(verdict["pass"], reason)
        return domain.finished(
            effect.blueprint,
            effect.messages,
            judged,
            effect.usage + usage(reply),
            request.digest(),
            effect.world,
        )


def named(calls: Sequence[ChatCall], turn: int, messages: Sequence[dict[str, Any]]) -> tuple[ToolCall, ...]:
    """The calls with ids that are unique in the run: servers leave them empty or give one twice."""
    taken = {str(call["id"]) for one in messages for call in one.get("tool_calls") or ()}
    unique = []
    for index, call in enumerate(calls):
        made = (f"call_{turn}_{number}" for number in count(index))
        identity = call.id if call.id and call.id not in taken else next(i for i in made if i not in taken)
        taken.add(identity)
        unique.append(ToolCall(id=identity, name=call.name, arguments=call.arguments))
    return tuple(unique)


def _parts(call: ChatCall) -> tuple[str, str, str]:
    return call.id, call.name, call.arguments


def _checked(texts: Sequence[str], reply: ChatReply) -> None:
    """A turn's texts fit an event.

    Raises:
        BadReply: they are too long together, or hold half a surrogate pair, which UTF-8 cannot.
    """
    if sum(map(len, texts)) > domain.MAX_TEXT:
        raise BadReply("oversized_reply", f"more than {domain.MAX_TEXT} characters", reply)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise BadReply("bad_text", f"no Unicode text: {error}", reply) from None


def usage(reply: ChatReply) -> Usage:
    """What a reply cost."""
    return Usage(
        calls=1, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens, usd=reply.usd
    )


def _value(reply: ChatReply) -> Any:
    """The JSON value of a reply, a Markdown fence around it taken off."""
    text = reply.content.strip()
    if text.startswith("```"):
        text = text.strip("`").removeprefix("json").strip()
    try:
        value = json.loads(text)
        # Escapes may hold what no message can: half a surrogate pair, a number beyond all bounds.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadReply("bad_json", f"not JSON: {error}", reply) from None
    return value


def _object(reply: ChatReply) -> dict[str, Any]:
    value = _value(reply)
    if not isinstance(value, dict):
        raise BadReply("bad_reply", "expected a JSON object", reply)
    return value


def _draft(blueprint: Blueprint, event: Message) -> Draft:
    return Draft(blueprint.id, event, blueprint.campaign)


__getattr__ = on_kafka(service, SimModel, ("services.worlds.machines", "services.kit.models.openai_http"))
