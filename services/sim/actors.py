"""The ``sim`` model: seeded scripted actors behind the chat port, imperfect on demand.

``sim`` is perfect; ``sim?malformed=0.1&wrong_tool=0.05&early_stop=0.05&ungrounded=0.05&latency=0.0:0.05``
spoils assistant turns with these probabilities and delays every reply by a number of seconds between the
two bounds. All of it follows from the request's seed and turn.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.blueprint import Fact
from services.kit.models.chat import ChatCall, ChatReply, ChatRequest, ModelFailed
from services.sim import assistant, planner, user
from services.sim.code_tool import CODE_TOOL, records
from services.sim.script import AssistantScript

Json = dict[str, Any]

MAX_LATENCY_S: Final = 60.0
CHARACTERS_PER_TOKEN: Final = 4
PROBABILITIES: Final = ("malformed", "wrong_tool", "early_stop", "ungrounded")


@dataclass(frozen=True, slots=True)
class SimOptions:
    """How imperfect: probabilities per assistant turn, and the bounds of the latency in seconds."""

    malformed: float = 0.0
    wrong_tool: float = 0.0
    early_stop: float = 0.0
    ungrounded: float = 0.0
    latency_min_s: float = 0.0
    latency_max_s: float = 0.0


def parse_options(model: str) -> SimOptions:
    """The options of a model name: ``sim``, or ``sim?`` and ``option=value`` joined by ``&``.

    Raises:
        ValueError: for another model, an unknown or repeated option, or a value out of range.
    """
    name, mark, query = model.partition("?")
    if name != "sim":
        raise ValueError(f"not a sim model: {model!r}")
    found: dict[str, float] = {}
    for part in query.split("&") if mark else ():
        option, _, value = part.partition("=")
        if option == "latency":
            low, _, high = value.partition(":")
            bounds = number(part, low), number(part, high or low)
            if not 0 <= bounds[0] <= bounds[1] <= MAX_LATENCY_S:
                raise ValueError(f"{part!r}: latency is seconds, low:high, from 0 to {MAX_LATENCY_S:g}")
            pairs = {"latency_min_s": bounds[0], "latency_max_s": bounds[1]}
        elif option in PROBABILITIES:
            pairs = {option: number(part, value)}
            if not 0 <= pairs[option] <= 1:
                raise ValueError(f"{part!r}: a probability lies between 0 and 1")
        else:
            known = ", ".join((*PROBABILITIES, "latency"))
            raise ValueError(f"unknown option {part!r} of {model!r}; there are: {known}")
        if pairs.keys() & found.keys():
            raise ValueError(f"option {option!r} stands twice in {model!r}")
        found |= pairs
    return SimOptions(**found)


def number(part: str, text: str) -> float:
    """A number of an option; raises ``ValueError`` that names the option."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{part!r}: {text!r} is no number") from None


class SimModel:
    """A ``ChatModel`` that plays every role but the tools', whose simulation is the world itself."""

    def __init__(self) -> None:
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="sim-planner")

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The scripted reply.

        Raises:
            ModelFailed: for unknown options, a role it does not play, or a request without a script.
        """
        try:
            options = parse_options(request.model)
            reply = await self._answer(request, options)
        except ValueError as error:
            raise ModelFailed("bad_request", str(error), infrastructure=False) from error
        await delayed(options, f"{request.seed}/{request.turn}/{request.role}")
        return reply

    async def _answer(self, request: ChatRequest, options: SimOptions) -> ChatReply:
        """Plans are made beside the event loop, one at a time: they take tens of milliseconds."""
        if request.role != "planner":
            return answer(request, options)
        return await asyncio.get_running_loop().run_in_executor(self._planning, answer, request, options)


async def delayed(options: SimOptions, seed: str) -> None:
    """Wait as long as the options' latency says; ``seed`` draws between its bounds."""
    if options.latency_max_s:
        rng = random.Random(f"{seed}/latency")
        await asyncio.sleep(rng.uniform(options.latency_min_s, options.latency_max_s))


def answer(request: ChatRequest, options: SimOptions) -> ChatReply:
    """The reply to ``request``, with a plausible count of tokens. Pure.

    Raises:
        ValueError: for a role it does not play, or a script that is missing or does not fit.
    """
    play = ROLES.get(request.role)
    if play is None:
        raise ValueError(f"sim plays no {request.role!r}; it plays {', '.join(ROLES)}")
    if request.script is None:
        raise ValueError(f"sim needs a script for the role {request.role!r}")
    reply = play(request, options)
    asked = len(json.dumps(request.messages, ensure_ascii=False)) + len(json.dumps(request.tools))
    said = len(reply.content) + sum(len(call.name) + len(call.arguments) for call in reply.calls)
    return replace(
        reply,
        prompt_tokens=asked // CHARACTERS_PER_TOKEN + 1,
        completion_tokens=said // CHARACTERS_PER_TOKEN + 1,
    )


def play_planner(request: ChatRequest, _options: SimOptions) -> ChatReply:
    """A plan as JSON; the script holds the command, the cluster and the distractors."""
    return ChatReply(content=json.dumps(planner.draft_from(request.script or {}), ensure_ascii=False))


def play_user(request: ChatRequest, _options: SimOptions) -> ChatReply:
    """The user's turn as JSON: ``{"content": str, "ends": bool}``."""
    script = request.script or {}
    facts = [Fact.model_validate(fact) for fact in script.get("facts", ())]
    goal = script["goal"] if isinstance(script.get("goal"), str) else ""
    if not goal:
        raise ValueError("the user's script has no goal")
    reply = user.reply(own_view(request.messages, goal), goal, facts, request.seed)
    return ChatReply(content=json.dumps({"content": reply.content, "ends": reply.ends}, ensure_ascii=False))


def own_view(messages: Sequence[Mapping[str, Any]], goal: str) -> list[Json]:
    """The dialogue with the user's own turns as ``user``.

    Chat models that play a user are shown the dialogue with roles exchanged (their own turns are
    ``assistant``), and their own turns may stand there as the JSON they replied with. Whose turns are
    whose shows in who said the goal.
    """
    plain = [{**message, "content": unwrapped(message.get("content"))} for message in messages]
    spoken = [message for message in plain if message.get("role") in ("user", "assistant")]
    owner = next((message["role"] for message in spoken if message["content"] == goal), None)
    if owner is None:
        return []
    other = "assistant" if owner == "user" else "user"
    roles = {owner: "user", other: "assistant"}
    first = next(index for index, message in enumerate(spoken) if message["content"] == goal)
    return [{"role": roles[message["role"]], "content": message["content"]} for message in spoken[first:]]


def unwrapped(content: Any) -> str:
    """The text of a turn, also where it is the JSON that the user's model replied with."""
    text = content if isinstance(content, str) else ""
    if text.startswith("{"):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        if isinstance(value, dict) and isinstance(value.get("content"), str):
            return str(value["content"])
    return text


def play_judge(_request: ChatRequest, _options: SimOptions) -> ChatReply:
    """A verdict as JSON. The rules have passed before a judge is asked, so it has nothing to object."""
    verdict = {"pass": True, "reason": "The request was carried out as asked and the answer reports it."}
    return ChatReply(content=json.dumps(verdict))


def play_assistant(request: ChatRequest, options: SimOptions) -> ChatReply:
    """The assistant's turn, spoilt where the options and the seed say so."""
    script = AssistantScript.model_validate(request.script)
    reply = assistant.reply(request.messages, request.tools, script, request.seed)
    rng = random.Random(f"{request.seed}/{request.turn}/imperfection")
    chances = {name: rng.random() < getattr(options, name) for name in PROBABILITIES}
    if not reply.calls:
        return reply
    if chances["early_stop"]:
        return ChatReply(content="That's all taken care of. Have a nice day!")
    calls = list(reply.calls)
    spoilt = rng.randrange(len(calls))
    for name in ("wrong_tool", "ungrounded", "malformed"):
        if chances[name]:
            calls[spoilt] = SPOIL[name](calls[spoilt], request.tools, rng)
    return replace(reply, calls=tuple(calls))


def wrong_tool(call: ChatCall, tools: Sequence[Json], rng: random.Random) -> ChatCall:
    """The call to another tool that is offered, or to one that is not."""
    others = [tool["function"]["name"] for tool in tools if tool["function"]["name"] != call.name]
    return replace(call, name=rng.choice(others) if others and rng.random() < 0.7 else f"{call.name}_v2")


def ungrounded(call: ChatCall, _tools: Sequence[Json], rng: random.Random) -> ChatCall:
    """The call with a made-up value in place of one that was read."""
    arguments = json.loads(call.arguments)
    if call.name == CODE_TOOL:
        return replace(
            call, arguments=json.dumps({"code": invented(arguments["code"], rng)}, ensure_ascii=False)
        )
    names = [name for name, value in arguments.items() if isinstance(value, str | int | float)]
    if not names:
        return call
    name = rng.choice(names)
    made_up = rng.randrange(100_000, 1_000_000)
    arguments[name] = f"X-{made_up}" if isinstance(arguments[name], str) else made_up
    return replace(call, arguments=json.dumps(arguments, ensure_ascii=False))


def invented(code: str, rng: random.Random) -> str:
    """The code with one value of its data in place of another: made up, not read."""
    known = [value for value in records(code) if isinstance(value, int | float) or len(value) > 2]
    if not known:
        return code
    value = rng.choice(known)
    made_up = rng.randrange(100_000, 1_000_000)
    return code.replace(str(value), f"X-{made_up}" if isinstance(value, str) else str(made_up))


def malformed(call: ChatCall, _tools: Sequence[Json], rng: random.Random) -> ChatCall:
    """The call with arguments that are no JSON: cut off, or with a stray comma."""
    text = call.arguments
    return replace(call, arguments=text[:-1] if rng.random() < 0.5 else text[:-1] + ",,}")


SPOIL: Final[Mapping[str, Callable[[ChatCall, Sequence[Json], random.Random], ChatCall]]] = {
    "wrong_tool": wrong_tool,
    "ungrounded": ungrounded,
    "malformed": malformed,
}
ROLES: Final[Mapping[str, Callable[[ChatRequest, SimOptions], ChatReply]]] = {
    "planner": play_planner,
    "user": play_user,
    "assistant": play_assistant,
    "judge": play_judge,
}
