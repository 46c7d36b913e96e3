"""What a planner model is asked, and the form of its reply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from pydantic import Field

from schemas.blueprint import AnswerFact, Fact, Fault, PlanBlueprint, Source, Work
from schemas.catalog import Cluster, ToolSpec
from schemas.envelope import Value
from services.worlds.world import World

Json = dict[str, Any]

MAX_KNOWN: Final = 3
"""Records shown per parameter."""
MAX_SCHEMA_CHARACTERS: Final = 2000


class PlanStep(Value):
    """One tool call as a planner model writes it; see ``schemas.blueprint.Step``."""

    id: str
    tool: str
    arguments: dict[str, Source] = Field(default_factory=dict)
    after: tuple[str, ...] = ()
    fault: Fault | None = None
    purpose: str = ""
    work: Work | None = None


class PlanDraft(Value):
    """The reply of a planner model. ``reason`` says why there are no steps, when there are none."""

    persona: str = ""
    goal: str = ""
    facts: tuple[Fact, ...] = ()
    steps: tuple[PlanStep, ...] = ()
    answer_facts: tuple[AnswerFact, ...] = ()
    reason: str = ""


INSTRUCTIONS: Final = """\
You design one realistic task for a tool-using assistant, as a plan that will be executed and checked.

Rules
- Use only the tools given, and only records that exist: an identifier comes from the list of known values,
  from the observation of an earlier step, or is made up where the tool creates something. The first known
  values of one tool's parameters belong together.
- The goal is what the user writes to open the conversation, in the first person and in plain words. It never
  names a tool or a parameter. It contains the value of every fact whose "asked" is false, spelled exactly
  as given (a list is joined by ", "), once; and no value of a fact whose "asked" is true.
- An argument is one of:
  {"kind": "fact", "fact": NAME}, a fact that the user holds;
  {"kind": "step", "step": ID, "path": [keys and indices]}, a value in the observation of an earlier step;
  {"kind": "constant", "value": V}, only for a default, const or enum member of the parameter's own schema;
  {"kind": "object", "fields": {...}} or {"kind": "list", "items": [...]} of these.
- Wherever possible an argument comes from an earlier step: that is what makes the task worth doing.
- "after" lists steps that must be finished first although no argument needs them.
- answer_facts are one to three values of observations that the user wants to hear, with the user's words for
  each as label. They must not be values that the user said.
Reply with one JSON object and nothing else.
"""

CODE_RULES: Final = """\
A step of code
- has "tool": "run_code", no "arguments", and "work": what the code works out of what earlier steps returned.
  The assistant writes the code itself. Work is one of:
  {"kind": "filter", "rows": R, "field": F, "keep": "over" | "under" | "is", "than": V, "show": F},
    with the result {"count": number, "matches": [the "show" of each record that is kept]};
  {"kind": "aggregate", "rows": R, "field": F, "by": "total" | "average" | "highest" | "lowest",
    "times": F or "", "show": F or ""}, with {"total": x}, {"average": x}, or
    {"highest" or "lowest": x, "of": its "show"};
  {"kind": "join", "rows": R, "others": R, "key": F, "other_key": F, "field": F, "by": "highest" | "lowest",
    "show": F of the others}, with {"matched": number, "highest" or "lowest": x, "of": "show" of the other};
  {"kind": "convert", "rows": R, "field": F, "unit": "minutes" | "hours" | "days" | "weeks" | "kilobytes",
    "until": F or ""}, with {"value": x, "unit": unit};
  {"kind": "check", "rows": R, "field": F, "times": F or "", "claim": V}, with
    {"verdict": "correct" | "incorrect", "actual": x, "difference": x}.
  R is a list of {"kind": "step", "step": ID, "path": [...]} that lead to records or lists of records; V is a
  fact or a value of an earlier step; F is the name of a field that every record has. Numbers are rounded to
  two decimals.
- Its result must be needed: an answer fact, or an argument of a later step, is read from it by step and path.
- Its "purpose" and the goal say in the user's words what is to be worked out, and how it is rounded.
"""

SHAPES: Final = {
    "single": "exactly one call",
    "chain": "calls one after the other, each waiting for the one before it",
    "parallel": "all calls independent of one another; none takes a value from another's observation",
    "dag": "some calls side by side, and at least one argument that comes from an earlier observation",
}
FLAGS: Final = {
    "clarifies": 'at least one fact has "asked": true, so that the assistant has to ask for it',
    "recovers": (
        'exactly one step has "fault": {"error": "timeout" | "rate_limited" | "unavailable", "times": 1}'
    ),
    "codes": "one of the calls is a step of code, after those whose results it works on",
    "refuses": "the user asks for something that must not be done",
}


def messages(command: PlanBlueprint, cluster: Cluster, world: World, state: Json) -> tuple[Json, ...]:
    """The planner's prompt: rules, the tools, the target, and records that exist."""
    target = command.target
    wanted = [
        f"Domain: {target.domain}",
        f"Number of calls: {target.depth}",
        f"Shape: {target.shape}, that is: {SHAPES[target.shape]}",
        *(f"Also: {FLAGS[flag]}" for flag in target.flags),
    ]
    if target.conditions:
        wanted.append(f"Optional arguments of each call that has any: {target.conditions}")
    rather = [tool.name for place, tool in enumerate(cluster.tools) if place in command.prefer]
    if rather:
        wanted.append("Tools to call rather than others: " + ", ".join(rather))
    if command.avoid:
        wanted.append("Patterns of calls that there are too many of already: " + "; ".join(command.avoid[:8]))
    coding = (CODE_RULES, "") if "codes" in target.flags else ()
    text = "\n".join(
        (
            *coding,
            "Target",
            *wanted,
            "",
            "Tools",
            *(described(tool) for tool in cluster.tools),
            "",
            "What flows from one tool to another",
            *(
                f"- {edge.source.rpartition('/')[2]} yields at {'.'.join(edge.path)} the {edge.parameter} of "
                f"{edge.target.rpartition('/')[2]}"
                for edge in cluster.edges[:40]
            ),
            "",
            "Known values",
            *known_values(cluster.tools, world, state),
        )
    )
    return ({"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text})


def described(tool: ToolSpec) -> str:
    """One tool in a paragraph: name, description, input and output schema, cut to a bearable length."""
    taken = json.dumps(tool.input_schema, ensure_ascii=False)[:MAX_SCHEMA_CHARACTERS]
    given = json.dumps(tool.output_schema or {}, ensure_ascii=False)[:MAX_SCHEMA_CHARACTERS]
    return f"- {tool.name}: {tool.description[:400]}\n  input: {taken}\n  output: {given}"


def known_values(tools: Sequence[ToolSpec], world: World, state: Json) -> list[str]:
    """Lines with a few valid values for each parameter that the state knows any for.

    The first value of each parameter goes with the first values of those before it, so that the first
    ones of a tool make a call that succeeds: a document of that folder, not of another.
    """
    lines = []
    for tool in tools:
        properties = tool.input_schema.get("properties")
        chosen: Json = {}
        for name in properties if isinstance(properties, dict) else ():
            values = world.known(state, tool.name, name, chosen)[:MAX_KNOWN]
            if values:
                chosen[name] = values[0]
                lines.append(f"- {tool.name}.{name}: {json.dumps(values, ensure_ascii=False)}")
    return lines


@cache
def reply_schema() -> Json:
    """JSON Schema of the reply; made once, and not to be changed."""
    return PlanDraft.model_json_schema()
