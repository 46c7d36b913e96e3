"""The scripted planner: a whole plan from a command and a cluster, by forward simulation. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter

from schemas.blueprint import AnswerFact, Fact, Fault, PlanBlueprint, Step
from schemas.catalog import Cluster, ToolSpec
from schemas.evolution import Target
from services.sim.code_tool import CODE_TOOL, simulated
from services.sim.goal_text import write_goal
from services.sim.personas import PERSONAS, Persona
from services.sim.plan_answers import choose_answers
from services.sim.plan_clauses import Clause
from services.sim.plan_code import Coded
from services.sim.plan_score import Sketch, askable
from services.sim.plan_search import search
from services.sim.plan_steps import Planned
from services.sim.plan_survey import survey
from services.sim.plan_waves import delayable
from services.sim.plan_with_code import CodedSketch, coded_sketch, ways
from services.sim.wording import ORDINALS
from services.worlds.world import World

Json = dict[str, Any]

ROUNDS: Final = 4
MAX_MISSES: Final = 1
"""Searches without any plan after which the cluster is taken not to give one."""
WORKS: Final = 4
"""Works that are tried to be told in words."""
FAULTS: Final = ("timeout", "rate_limited", "unavailable")


def draft_from(script: Json) -> Json:
    """The plan for a planner's script: ``{"command": …, "cluster": …, "tools": […], "members": […]}``.

    ``tools`` are all tools that the assistant will be offered, in the order of the offer; the cluster is
    given without its tools: ``members`` are their places among these, in its own order.

    Raises:
        ValueError: when the script is not of that form (pydantic's error, which says where).
    """
    command = PlanBlueprint.model_validate(script.get("command"))
    tools = [ToolSpec.model_validate(tool) for tool in script.get("tools", ())]
    members = TypeAdapter(tuple[int, ...]).validate_python(script.get("members"))
    if any(not 0 <= place < len(tools) for place in members):
        raise ValueError(f"members are places among {len(tools)} tools, not {members}")
    cluster = Cluster.model_validate(
        {**script.get("cluster", {}), "tools": tuple(tools[place] for place in members)}
    )
    world = World(simulated(tools), command.seed)
    return draft(command, cluster, world, world.initial())


def draft(command: PlanBlueprint, cluster: Cluster, world: World, state: Json) -> Json:
    """A plan as JSON: persona, goal, facts, steps, answer_facts.

    Where the cluster cannot give the target, ``steps`` is empty and ``reason`` says so. ``world`` knows
    the cluster's tools; ``state`` is its state before the first call.
    """
    target = command.target
    if "codes" in target.flags:
        return draft_with_code(command, cluster, world, state)
    misses = 0
    trail = survey(cluster, world, command.prefer, command.avoid)
    for number in range(ROUNDS):
        rng = random.Random(f"{command.seed}/plan/{number}")
        sketch = search(target, trail, world, state, rng)
        if sketch is None:
            misses += 1
            if misses == MAX_MISSES:
                break
            continue
        if "clarifies" in target.flags and not keep_back(sketch, rng):
            continue
        late = delayable(world, state, sketch.steps) if "recovers" in target.flags else []
        if "recovers" in target.flags and not late:
            continue
        persona = PERSONAS[rng.randrange(len(PERSONAS))]
        answers = choose_answers(sketch.steps, sketch.facts, rng)
        if not answers and number < ROUNDS - 1:
            continue
        written = write_goal(sketch.steps, sketch.facts, answers, persona.style, rng)
        if written is None:
            continue
        goal, purposes = written
        faulty = rng.choice(late) if late else -1
        steps = [
            planned_step(step, purposes[step.id], fault(rng) if index == faulty else None)
            for index, step in enumerate(sketch.steps)
        ]
        return as_json(persona.line, goal, list(sketch.facts.values()), steps, answers)
    return no_plan(target)


def draft_with_code(command: PlanBlueprint, cluster: Cluster, world: World, state: Json) -> Json:
    """A plan that has code in it.

    Each way for code to stand in a plan is looked for in turn, in an order of the seed.
    """
    target = command.target
    trail = survey(cluster, world)
    for number, way in enumerate(ways(trail, random.Random(f"{command.seed}/plan/ways"))):
        rng = random.Random(f"{command.seed}/plan/code/{number}")
        found = coded_sketch(way, target, trail, world, state, rng)
        if found is None or ("clarifies" in target.flags and not keep_back(found.sketch, rng)):
            continue
        late = delayable(world, state, found.calls) if "recovers" in target.flags else []
        if "recovers" in target.flags and not late:
            continue
        persona = PERSONAS[rng.randrange(len(PERSONAS))]
        faulty = found.calls[rng.choice(late)].id if late else ""
        for coded in found.works[:WORKS]:
            made = coded_plan(found, coded, persona, faulty, rng)
            if made is not None:
                return made
    return no_plan(target)


def coded_plan(
    found: CodedSketch, coded: Coded, persona: Persona, faulty: str, rng: random.Random
) -> Json | None:
    """The plan of a sketch and a work in it; ``None`` where no wording tells it."""
    steps = found.sketch.steps
    own = (coded.fact,) if coded.fact is not None else ()
    facts = found.sketch.facts | {fact.name: fact for fact in own}
    identity = found.step.id if found.step is not None else f"s{len(steps) + 1}"
    answers = choose_answers(found.calls, facts, rng) if found.step is not None else []
    answers = answers or coded.answer_facts(identity)
    more: tuple[Clause, ...] = ()
    if found.step is None:
        names = tuple(fact.name for fact in own)
        more = (Clause(coded.text, own, names, "get", own=False, alongside=False),)
    written = write_goal(steps, facts, answers, persona.style, rng, more)
    if written is None:
        return None
    goal, purposes = written
    last = tuple(step.id for step in steps if step.wave == steps[-1].wave)
    after = found.step.after if found.step is not None else last
    code = Step(id=identity, tool=CODE_TOOL, after=after, purpose=coded.text, work=coded.work)
    planned = [
        code
        if step is found.step
        else planned_step(step, purposes[step.id], fault(rng) if step.id == faulty else None)
        for step in steps
    ]
    if found.step is None:
        planned.append(code)
    return as_json(persona.line, goal, list(facts.values()), planned, answers)


def no_plan(target: Target) -> Json:
    """The reply where the cluster cannot give the target."""
    return {
        "steps": [],
        "reason": f"the cluster gives no {target.shape} of depth {target.depth} {target.flags}",
    }


def as_json(
    persona: str, goal: str, facts: Sequence[Fact], steps: Sequence[Step], answers: Sequence[AnswerFact]
) -> Json:
    """A plan in the form that a planner model replies with."""
    return {
        "persona": persona,
        "goal": goal,
        "facts": [fact.model_dump(mode="json") for fact in facts],
        "steps": [step.model_dump(mode="json", exclude={"wave", "expected"}) for step in steps],
        "answer_facts": [answer.model_dump(mode="json") for answer in answers],
    }


def keep_back(sketch: Sketch, rng: random.Random) -> bool:
    """Marks one fact as told only when asked for: one that a required argument takes as it is."""
    candidates = askable(sketch)
    if not candidates:
        return False
    alone = [name for name in candidates if not sketch.facts[name].label.startswith(ORDINALS)]
    # Of a first, a second and a third thing, the last one is left out.
    name = rng.choice(alone) if alone else candidates[-1]
    sketch.facts[name] = sketch.facts[name].model_copy(update={"asked": True})
    return True


def planned_step(step: Planned, purpose: str, injected: Fault | None) -> Step:
    """The step as a blueprint has it, but for wave and expected observation, which a dry run fills in."""
    return Step(
        id=step.id,
        tool=step.tool.name,
        arguments=step.sources,
        after=step.after,
        fault=injected,
        purpose=purpose,
    )


def fault(rng: random.Random) -> Fault:
    """An error that passes after one try, seldom after two."""
    return Fault(error=rng.choice(FAULTS), times=1 if rng.random() < 0.85 else 2)
