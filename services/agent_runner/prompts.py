"""What each role is told, and no more.

User simulator: goal and held facts, not the plan. Assistant: tools and dialogue, never the blueprint.
Tool simulator: state and the expected observation. Judge: everything, after the rules have passed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from schemas.blueprint import Blueprint, Fact
from schemas.evolution import Role, RoleModel
from schemas.run import ToolCall
from services.agent_runner.alignment import align
from services.agent_runner.conversation import offered
from services.agent_runner.trace import executed
from services.kit.models.chat import ChatRequest
from services.kit.models.openai_wire import is_sim_named
from services.sim.script_maker import make_script

Json = dict[str, Any]

USER: Final = """You play a person who talks to an assistant. Stay in this role; never act as the assistant.
Who you are: {persona}
What you want: {goal}
What you know: {facts}
Do not volunteer what is marked as told only when asked; give it, exactly as it stands here, when the
assistant asks for it. Do not invent facts: if you are asked for something else, say that you do not know.
Agree when you are asked to confirm what you want. When the assistant has done everything you asked and told
you the result, or clearly cannot, end the conversation.
Reply with JSON: {{"content": "what you say", "ends": true when the conversation is over, else false}}."""

TOOLS: Final = """You simulate a web service behind tools. Given a call, reply with the JSON value that the
real service would return, shaped by the tool's output schema where there is one. Be consistent with the state
and with earlier results: identical reads agree, created things can be fetched, deleted ones are gone, unknown
ids fail with {{"error": {{"code": "not_found", "message": "..."}}}}. Reply with JSON only.
State before the first call: {state}
Tool: {tool}
Earlier calls and results: {history}
{expected}"""

JUDGE: Final = """You judge a conversation between a user and an assistant with tools. The rules have been
checked already: calls are valid, arguments grounded, the planned end state is reached. Say whether an expert
would want it as training data: the request is natural, the assistant does what was asked and nothing else,
its answers follow from the results, nothing is invented.
Reply with JSON: {{"pass": true or false, "reason": "one sentence"}}.
Plan: {plan}
Conversation: {conversation}"""

SPEECH: Final[Json] = {
    "type": "object",
    "properties": {"content": {"type": "string"}, "ends": {"type": "boolean"}},
    "required": ["content", "ends"],
    "additionalProperties": False,
}
JUDGEMENT: Final[Json] = {
    "type": "object",
    "properties": {"pass": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["pass", "reason"],
    "additionalProperties": False,
}


def assistant_request(blueprint: Blueprint, turn: int, messages: Sequence[Json]) -> ChatRequest:
    """The assistant's next turn. A scripted assistant is handed its directions beside the messages."""
    model = _model(blueprint, "assistant")
    script = make_script(blueprint, messages).model_dump(mode="json") if is_sim_named(model.model) else None
    return _request(blueprint, "assistant", turn, messages, tools=offered(blueprint.tools), script=script)


def user_request(blueprint: Blueprint, turn: int, messages: Sequence[Json]) -> ChatRequest:
    """The user simulator's next turn: the dialogue without tools, with the roles exchanged."""
    system = USER.format(persona=blueprint.persona, goal=blueprint.goal, facts=_facts(blueprint.facts))
    exchanged = {"user": "assistant", "assistant": "user"}
    dialogue = [
        {"role": exchanged[one["role"]], "content": one["content"]}
        for one in messages
        if one["role"] in exchanged and one.get("content") and not one.get("tool_calls")
    ]
    script = {"goal": blueprint.goal, "facts": [fact.model_dump(mode="json") for fact in blueprint.facts]}
    return _request(
        blueprint,
        "user",
        turn,
        [{"role": "system", "content": system}, *dialogue],
        schema=SPEECH,
        script=script,
    )


def tool_request(
    blueprint: Blueprint, turn: int, call: ToolCall, messages: Sequence[Json], expected: Any
) -> ChatRequest:
    """The observation of one call, from a model that plays the service."""
    tool = next(tool for tool in blueprint.tools if tool.name == call.name)
    history = [one for one in messages if one["role"] == "tool" or one.get("tool_calls")]
    text = TOOLS.format(
        state=_text(blueprint.initial_state),
        tool=_text(tool.model_dump(mode="json", exclude_defaults=True)),
        history=_text(history),
        expected="" if expected is None else f"The plan expects a result like: {_text(expected)}",
    )
    call_text = _text({"name": call.name, "arguments": call.arguments})
    return _request(
        blueprint,
        "tools",
        turn,
        [{"role": "system", "content": text}, {"role": "user", "content": call_text}],
    )


def expected(blueprint: Blueprint, call: ToolCall, messages: Sequence[Json]) -> Any:
    """What the plan expects this call to return: of a tool's steps, the one that the call is; else None."""
    calls = executed(messages)
    made = align(blueprint, calls).made
    steps = {calls[position].id: step for step, position in made.items()}
    return next((step.expected for step in blueprint.steps if step.id == steps.get(call.id)), None)


def judge_request(blueprint: Blueprint, turn: int, messages: Sequence[Json]) -> ChatRequest:
    """The judge's opinion of the whole run."""
    plan = blueprint.model_dump(
        mode="json", include={"persona", "goal", "facts", "steps", "assertions", "answer_facts"}
    )
    text = JUDGE.format(plan=_text(plan), conversation=_text(list(messages)))
    return _request(
        blueprint,
        "judge",
        turn,
        [{"role": "system", "content": "You are a strict reviewer."}, {"role": "user", "content": text}],
        schema=JUDGEMENT,
        script={},
    )


def _request(
    blueprint: Blueprint,
    role: Role,
    turn: int,
    messages: Sequence[Json],
    *,
    tools: tuple[Json, ...] = (),
    schema: Json | None = None,
    script: Json | None = None,
) -> ChatRequest:
    model = _model(blueprint, role)
    return ChatRequest(
        role=role,
        run=blueprint.id,
        turn=turn,
        model=model.model,
        base_url=model.base_url,
        messages=tuple(messages),
        tools=tools,
        json_schema=schema,
        seed=_seed(blueprint.seed, role, turn),
        script=script if is_sim_named(model.model) else None,
    )


def _model(blueprint: Blueprint, role: Role) -> RoleModel:
    return blueprint.models.get(role, RoleModel())


def _seed(seed: int, role: str, turn: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{role}/{turn}".encode()).digest()[:4], "big") >> 1


def _facts(facts: Sequence[Fact]) -> str:
    lines = [
        f"{fact.label}: {_text(fact.value)}{' (told only when asked)' if fact.asked else ''}"
        for fact in facts
    ]
    return "; ".join(lines) or "nothing in particular"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
