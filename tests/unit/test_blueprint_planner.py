"""The blueprint-planner: given catalog and command, when a plan comes back, then a checked blueprint."""

from __future__ import annotations

import asyncio
import json
import random
import re

import pytest

from schemas.blueprint import Blueprint, BlueprintPlanned, BlueprintRejected, PlanBlueprint
from schemas.catalog import CatalogFormed, Cluster, ClusterFormed, Edge, ToolSpec
from schemas.envelope import Envelope, Message
from schemas.evolution import RoleModel, Target
from services.blueprint_planner import app, domain
from services.blueprint_planner.checker import check, shape_of
from services.blueprint_planner.completion import holds, offered, references
from services.blueprint_planner.planning import plan
from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.service import Closed, Perform, Wait
from services.sim import assistant, planner, user
from services.sim.actors import SimModel
from services.sim.arguments import resolve_source
from services.sim.json_schema import at
from services.sim.script_maker import make_script
from services.sim.spelling import literal
from services.worlds.machines import MACHINES
from services.worlds.world import World

SHOP = MACHINES["shop"].server
CLUSTER = Cluster(
    id="shop#1",
    hash="h1",
    domains=("shopping",),
    tools=SHOP.tools,
    edges=tuple(
        Edge(source=f"shop/{source}", target=f"shop/{target}", parameter=parameter, path=path)
        for source, target, parameter, path in (
            ("search_products", "get_product", "product_id", ("products", "*", "product_id")),
            ("list_customer_orders", "get_order", "order_id", ("orders", "*", "order_id")),
            ("list_customer_orders", "cancel_order", "order_id", ("orders", "*", "order_id")),
            ("find_customer", "list_customer_orders", "customer_id", ("customer_id",)),
            ("get_order", "track_shipment", "shipment_id", ("shipment_id",)),
        )
        if {source, target} <= {tool.name for tool in SHOP.tools}
    ),
)
OTHER = Cluster(id="bank#1", hash="h2", domains=("banking",), tools=MACHINES["bank"].server.tools)
TARGETS = (
    Target(domain="shopping", shape="single", depth=1),
    Target(domain="shopping", shape="single", depth=1, flags=("clarifies",)),
    Target(domain="shopping", shape="chain", depth=2),
    Target(domain="shopping", shape="chain", depth=2, flags=("clarifies", "recovers")),
    Target(domain="shopping", shape="parallel", depth=2, flags=("recovers",)),
    Target(domain="shopping", shape="dag", depth=3),
)


def command(target: Target = TARGETS[2], seed: int = 7, **changes: object) -> PlanBlueprint:
    fields: dict[str, object] = {
        "run": "c.1.1",
        "campaign": "c",
        "generation": 0,
        "slot": 1,
        "attempt": 1,
        "seed": seed,
        "catalog_hash": "H",
        "cluster": CLUSTER.id,
        "cluster_hash": CLUSTER.hash,
        "target": target,
    }
    return PlanBlueprint.model_validate(fields | changes)


def envelope(data: Message, identity: str = "e1") -> Envelope:
    return Envelope(id=identity, source="", time="", subject="", data=data)


def catalog(*clusters: Cluster) -> domain.Clusters:
    reference = domain.Clusters()
    for cluster in clusters:
        reference = domain.refer(reference, envelope(ClusterFormed(cluster=cluster)))
    formed = CatalogFormed(hash="H", clusters=tuple(one.id for one in clusters), servers=1, tools=1, edges=1)
    return domain.refer(reference, envelope(formed))


def drafted(one: PlanBlueprint) -> dict:
    world = World(offered(one, CLUSTER, ()), one.seed)
    return planner.draft(one, CLUSTER, world, world.initial())


def planned(one: PlanBlueprint) -> Blueprint:
    outcome = plan(one, CLUSTER, (), drafted(one))
    assert isinstance(outcome, Blueprint), outcome
    return outcome


def codes(value: Blueprint | tuple) -> set[str]:
    return {one.code for one in (check(value) if isinstance(value, Blueprint) else value)}


# --- the domain


def test_given_nothing_then_it_waits_and_says_for_what():
    assert isinstance(domain.next_step(domain.initial("c.1.1"), domain.Clusters()), Wait)
    state = domain.evolve(domain.initial("c.1.1"), envelope(command()))
    step = domain.next_step(state, domain.Clusters())
    assert isinstance(step, Wait)
    assert "catalog H" in step.why


def test_given_another_hash_of_the_cluster_then_it_waits_for_exactly_the_one_that_is_named():
    state = domain.evolve(domain.initial("c.1.1"), envelope(command()))
    other = CLUSTER.model_copy(update={"hash": "another"})
    step = domain.next_step(state, catalog(other, OTHER))
    assert isinstance(step, Wait)
    assert "h1" in step.why
    assert isinstance(domain.next_step(state, catalog(CLUSTER, OTHER)), Perform)


def test_given_a_catalog_formed_anew_then_an_earlier_command_finds_its_cluster_and_the_same_distractors():
    state = domain.evolve(domain.initial("c.1.1"), envelope(command()))
    reference = catalog(CLUSTER, OTHER)
    first = domain.next_step(state, reference)
    for cluster in (CLUSTER, OTHER):
        changed = cluster.model_copy(update={"hash": "new", "tools": cluster.tools[:3]})
        reference = domain.refer(reference, envelope(ClusterFormed(cluster=changed)))
    assert domain.next_step(state, reference) == first


def test_given_its_own_event_then_it_closes_and_folding_twice_changes_nothing():
    one = command()
    state = domain.evolve(domain.initial("c.1.1"), envelope(one))
    event = envelope(BlueprintPlanned(blueprint=planned(one)), "e2")
    for _ in range(2):
        state = domain.evolve(state, event)
        state = domain.evolve(state, envelope(one))
        assert isinstance(domain.next_step(state, domain.Clusters()), Closed)


def test_distractors_come_from_other_clusters_by_seed_without_a_shared_name():
    one = command()
    drawn = domain.draw_distractors(one, CLUSTER, catalog(CLUSTER, OTHER))
    assert drawn == domain.draw_distractors(one, CLUSTER, catalog(CLUSTER, OTHER))
    assert domain.MIN_DISTRACTORS <= len(drawn) <= domain.MAX_DISTRACTORS
    names = [tool.name for tool, _ in drawn]
    assert len(set(names)) == len(names)
    assert not set(names) & {tool.name for tool in CLUSTER.tools}
    assert {domain_ for _, domain_ in drawn} == {"banking"}
    assert domain.draw_distractors(one, CLUSTER, catalog(CLUSTER)) == ()


def test_clusters_are_kept_small():
    reference = domain.Clusters()
    for number in range(50):
        one = CLUSTER.model_copy(update={"id": f"shop#{number}"})
        reference = domain.refer(reference, envelope(ClusterFormed(cluster=one)))
    mean = sum(len(packed) for packed in reference.packed.values()) / 50
    assert mean < 5_000
    assert reference.cluster("shop#7", "h1").tools == CLUSTER.tools


# --- the plan


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: f"{one.shape}{one.depth}{'+'.join(one.flags)}")
@pytest.mark.parametrize("seed", range(6))
def test_the_scripted_planner_meets_its_target(target: Target, seed: int):
    blueprint = planned(command(target, seed))
    assert shape_of(blueprint) == target.shape
    assert check(blueprint) == ()
    assert any(fact.asked for fact in blueprint.facts) == ("clarifies" in target.flags)
    assert any(step.fault for step in blueprint.steps) == ("recovers" in target.flags)
    if target.shape in ("chain", "dag"):
        assert any(
            True for step in blueprint.steps for part in step.arguments.values() for _ in references(part)
        )


@pytest.mark.parametrize("seed", range(4))
def test_the_blueprint_is_what_a_run_of_it_gives(seed: int):
    blueprint = planned(command(TARGETS[5], seed))
    world = World(blueprint.tools, blueprint.seed)
    state = blueprint.initial_state
    assert world.initial() == state
    facts = {fact.name: fact.value for fact in blueprint.facts}
    seen: dict[str, object] = {}
    for step in blueprint.steps:
        arguments = {name: resolve_source(part, facts, seen) for name, part in step.arguments.items()}
        state, observation = world.call(state, step.tool, arguments)
        assert not observation.error
        assert observation.content == step.expected
        seen[step.id] = observation.content
    for assertion in blueprint.assertions:
        assert holds(assertion, state)
    if any(world.meaning(step.tool).writes for step in blueprint.steps):
        assert not all(holds(assertion, blueprint.initial_state) for assertion in blueprint.assertions)
    assert blueprint.complexity > 0


@pytest.mark.parametrize("seed", range(30))
def test_no_write_of_a_plan_leaves_the_world_as_it_was(seed: int):
    calendar = MACHINES["calendar"].server
    wanted = ("create_meeting", "reschedule_meeting")
    into = Edge(
        source="calendar/create_meeting",
        target="calendar/reschedule_meeting",
        parameter="meeting_id",
        path=("meeting_id",),
    )
    tools = tuple(tool for tool in calendar.tools if tool.name in wanted)
    cluster = Cluster(id="calendar#1", hash="h3", domains=("calendar",), tools=tools, edges=(into,))
    one = command(Target(domain="calendar", shape="chain", depth=2), seed, cluster="calendar#1")
    world = World(offered(one, cluster, ()), seed)
    outcome = plan(one, cluster, (), planner.draft(one, cluster, world, world.initial()))
    assert isinstance(outcome, Blueprint), outcome
    facts = {fact.name: fact.value for fact in outcome.facts}
    state, seen = world.initial(), dict[str, object]()
    for step in outcome.steps:
        arguments = {name: resolve_source(part, facts, seen) for name, part in step.arguments.items()}
        after, observation = world.call(state, step.tool, arguments)
        assert after != state, f"{step.tool} {arguments}"
        state, seen[step.id] = after, observation.content


def board(*properties: str) -> Cluster:
    """A cluster of tools whose parameters are texts of these names; without a name they take nothing."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in properties}}
    tools = tuple(
        ToolSpec(
            server="board", name=name, description=f"Get the {name[4:]} of the team.", input_schema=schema
        )
        for name in ("get_roadmap", "get_calendar", "get_budget")
    )
    return Cluster(id="board#1", hash="h4", domains=("planning",), tools=tools)


def test_tools_that_take_nothing_give_no_plan():
    target = Target(domain="planning", shape="parallel", depth=2)
    for cluster, steps in ((board(), 0), (board("team_name"), 2)):
        found = []
        for seed in range(6):
            one = command(target, seed, cluster=cluster.id, cluster_hash=cluster.hash)
            world = World(cluster.tools, seed, {})
            found.append(len(planner.draft(one, cluster, world, world.initial())["steps"]))
        assert max(found) == steps, (cluster, found)


def test_the_same_seed_gives_the_same_blueprint_and_another_another():
    assert planned(command(seed=3)) == planned(command(seed=3))
    assert planned(command(seed=3)).goal != planned(command(seed=4)).goal


def test_openings_read_like_sentences():
    for seed in range(40):
        goal = planned(command(random.Random(seed).choice(TARGETS), seed)).goal
        assert goal[0].isupper()
        assert goal.endswith((".", "?", "!", '."', '?"', '!"'))
        assert not re.search(r"[{}_]|\.\.|\s\s|\s[.,?]|\ba [aeio]", goal), goal


# --- the checker


def broken(change: str) -> Blueprint:
    """A good blueprint with one fault planted in it."""
    good = planned(command(TARGETS[2], 5))
    data = good.model_dump(mode="json")
    first, last = data["steps"][0], data["steps"][-1]
    match change:
        case "cyclic":
            first["after"] = [last["id"]]
        case "refers_to_nothing":
            name = next(iter(last["arguments"]))
            last["arguments"][name] = {"kind": "step", "step": first["id"], "path": ["no", "such", "path"]}
        case "unknown_tool":
            last["tool"] = "no_such_tool"
        case "breaks_schema":
            data["facts"].append({"name": "x", "label": "extra", "value": "zebra-1"})
            first["arguments"]["no_such_parameter"] = {"kind": "fact", "fact": "x"}
            data["goal"] += " The extra is zebra-1."
        case "free_constant":
            name = next(name for name, part in first["arguments"].items())
            first["arguments"][name] = {"kind": "constant", "value": "made up"}
        case "wrong_shape":
            data["target"]["shape"] = "single"
        case "wrong_depth":
            data["target"]["depth"] = 9
        case "wrong_flags":
            data["target"]["flags"] = ["clarifies"]
        case "impossible_mode":
            data["target"]["flags"] = ["refuses"]
        case "distractor_used":
            data["distractors"].append(first["tool"])
        case "answer_missing":
            data["answer_facts"] = [{"label": "x", "step": first["id"], "path": ["nothing"]}]
        case "unused_fact":
            data["facts"].append({"name": "x", "label": "extra", "value": "zebra-1"})
            data["goal"] += " The extra is zebra-1."
        case "duplicate_tool":
            data["tools"].append(data["tools"][0])
        case "goal_lacks_fact":
            data["goal"] = "Do it, please."
        case "goal_leaks_fact":
            data["facts"][0]["asked"] = True
        case "goal_names_tool":
            data["goal"] += f" Use {last['tool']}."
        case "too_many_steps":
            data["steps"] += [{**last, "id": f"extra{number}"} for number in range(20)]
        case "wrong_wave":
            last["wave"] = 5
    return Blueprint.model_validate(data)


@pytest.mark.parametrize(
    "code",
    [
        "cyclic", "refers_to_nothing", "unknown_tool", "breaks_schema", "free_constant", "wrong_shape",
        "wrong_depth",
        "wrong_flags", "impossible_mode", "distractor_used", "answer_missing", "unused_fact",
        "duplicate_tool",
        "goal_lacks_fact", "goal_leaks_fact", "goal_names_tool", "too_many_steps", "wrong_wave",
    ],
)  # fmt: skip
def test_each_fault_is_found_and_named(code: str):
    assert code in codes(broken(code))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", "not_json"),
        ('{"persona": "half a pair: \\ud83d"}', "not_json"),
        ('{"steps": 3}', "not_a_plan"),
        ("[]", "not_a_plan"),
        ("{}", "no_steps"),
        ('{"steps": [], "reason": "there is no such tool"}', "impossible_mode"),
        ('{"steps": [{"id": "a", "tool": "nothing"}]}', "unknown_tool"),
        ('{"steps": [{"id": "a", "tool": "get_order"}]}', "call_fails"),
        ('{"steps": [{"id": "a", "tool": "x"}, {"id": "a", "tool": "x"}]}', "duplicate_step"),
    ],
)
def test_drafts_that_are_no_plans_are_refused_with_a_reason(text: str, code: str):
    outcome = plan(command(), CLUSTER, (), text)
    assert not isinstance(outcome, Blueprint)
    assert [one.code for one in outcome] == [code]


def test_a_draft_in_a_code_fence_is_read():
    one = command()
    assert isinstance(plan(one, CLUSTER, (), f"```json\n{json.dumps(drafted(one))}\n```"), Blueprint)


# --- the service


class Saying:
    """A model with one answer, that keeps what it was asked."""

    def __init__(self, answer: str | ModelFailed) -> None:
        self.answer = answer
        self.asked: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        if isinstance(self.answer, ModelFailed):
            raise self.answer
        return ChatReply(content=self.answer, prompt_tokens=10, completion_tokens=5)


def performed(model: object, one: PlanBlueprint) -> list:
    state = domain.evolve(domain.initial(one.run), envelope(one, "cause"))
    step = domain.next_step(state, catalog(CLUSTER, OTHER))
    assert isinstance(step, Perform)
    return list(asyncio.run(app.service(model).perform(step.effect)))  # type: ignore[arg-type]


def test_with_the_sim_a_command_becomes_a_planned_blueprint():
    (draft,) = performed(SimModel(), command())
    assert draft.key == "c.1.1"
    assert (draft.correlation, draft.cause) == ("c", "cause")
    assert isinstance(draft.data, BlueprintPlanned)
    blueprint = draft.data.blueprint
    assert set(blueprint.distractors) > {tool.name for tool in CLUSTER.tools} - {
        step.tool for step in blueprint.steps
    }
    assert blueprint.tool_domains["get_order"] == "shopping"
    assert "banking" in blueprint.tool_domains.values()
    assert draft.data.usage.calls == 1
    assert draft.data.usage.tokens > 0


def test_a_bad_plan_is_the_planners_and_content():
    (draft,) = performed(Saying("I'd rather not."), command())
    assert isinstance(draft.data, BlueprintRejected)
    assert (draft.data.content, draft.data.attribution) == (True, "planner")
    assert [one.code for one in draft.data.rejections] == ["not_json"]


@pytest.mark.parametrize("infrastructure", [True, False])
def test_a_failed_model_is_attributed(infrastructure: bool):
    failure = ModelFailed("gone", "no answer", infrastructure=infrastructure)
    (draft,) = performed(Saying(failure), command())
    assert isinstance(draft.data, BlueprintRejected)
    assert draft.data.content is not infrastructure
    assert draft.data.attribution == ("infrastructure" if infrastructure else "model")


def test_a_real_model_is_shown_tools_target_and_records_and_no_script():
    model = Saying("{}")
    one = command(models={"planner": RoleModel(model="openai/some-model", base_url="http://127.0.0.1:1")})
    performed(model, one)
    (asked,) = model.asked
    assert asked.script is None
    assert asked.json_schema is not None
    prompt = json.dumps(asked.messages)
    for tool in CLUSTER.tools:
        assert tool.name in prompt
    assert re.search(r"get_order\.order_id: .{0,4}\[.{0,6}ORD-\d+", prompt)
    assert "Number of calls: 2" in prompt


def test_when_planning_itself_breaks_it_is_infrastructure():
    one = command()
    state = domain.evolve(domain.initial(one.run), envelope(one))
    step = domain.next_step(state, catalog(CLUSTER, OTHER))
    assert isinstance(step, Perform)
    (draft,) = app.gave_up(state, step.effect, RuntimeError("boom"))
    assert isinstance(draft.data, BlueprintRejected)
    assert draft.data.content is False
    assert "boom" in draft.data.rejections[0].detail


# --- what the scheduler's policies ask for


def test_two_clusters_are_crossed_and_each_tool_keeps_its_domain():
    target = Target(domain="shopping", shape="parallel", depth=2)
    used: set[str] = set()
    for seed in range(12):
        one = command(target, seed, partner=OTHER.id, partner_hash=OTHER.hash, operator="cross", mate="c.0.1")
        (draft,) = performed(SimModel(), one)
        if not isinstance(draft.data, BlueprintPlanned):
            continue
        blueprint = draft.data.blueprint
        assert (blueprint.operator, blueprint.mate) == ("cross", "c.0.1")
        assert {tool.name for tool in (*CLUSTER.tools, *OTHER.tools)} <= set(blueprint.tool_domains)
        for tool in OTHER.tools:
            assert blueprint.tool_domains[tool.name] == "banking"
        used |= {blueprint.tool_domains[step.tool] for step in blueprint.steps}
    assert used == {"shopping", "banking"}


def test_given_a_partner_that_is_not_there_then_it_waits_for_it():
    one = command(partner=OTHER.id, partner_hash="h9")
    state = domain.evolve(domain.initial("c.1.1"), envelope(one))
    step = domain.next_step(state, catalog(CLUSTER, OTHER))
    assert isinstance(step, Wait)
    assert "h9" in step.why


def test_scattered_tools_come_from_the_whole_catalog_and_not_from_the_cluster():
    one = command(Target(domain="shopping", shape="single", depth=1), scatter=3)
    state = domain.evolve(domain.initial(one.run), envelope(one))
    more = OTHER.model_copy(
        update={
            "id": "mail#1",
            "hash": "h3",
            "tools": MACHINES["helpdesk"].server.tools,
            "domains": ("mail",),
        }
    )
    step = domain.next_step(state, catalog(CLUSTER, OTHER, more))
    assert isinstance(step, Perform)
    effect = step.effect
    assert isinstance(effect, domain.Plan)
    assert not effect.cluster.tools
    assert effect.planned_with.tools == effect.guests
    assert not effect.planned_with.edges
    assert 1 < len(effect.guests) <= 3
    assert not {tool.name for tool in effect.guests} & {tool.name for tool in CLUSTER.tools}
    assert domain.next_step(state, catalog(CLUSTER, OTHER, more)) == step


def test_plans_call_the_tools_that_are_preferred():
    target = Target(domain="shopping", shape="single", depth=1)
    names = [tool.name for tool in CLUSTER.tools]
    wanted = [names.index("list_customer_orders"), names.index("find_customer")]
    called = [planned(command(target, seed, prefer=wanted)).steps[0].tool for seed in range(10)]
    free = [planned(command(target, seed)).steps[0].tool for seed in range(10)]
    assert sum(name in ("list_customer_orders", "find_customer") for name in called) >= 9
    assert sum(name in ("list_customer_orders", "find_customer") for name in free) < 9


def test_conditions_are_optional_arguments_on_every_call():
    def arguments(conditions: int) -> int:
        target = Target(domain="shopping", shape="single", depth=1, conditions=conditions)
        found = [
            plan(one, CLUSTER, (), drafted(one)) for one in (command(target, seed) for seed in range(12))
        ]
        return sum(len(one.steps[0].arguments) for one in found if isinstance(one, Blueprint))

    assert arguments(2) > arguments(0)


def test_signatures_to_avoid_become_rarer():
    target = Target(domain="shopping", shape="chain", depth=2)

    def commonest(avoid: tuple[str, ...]) -> int:
        found = [planned(command(target, seed, avoid=avoid)) for seed in range(20)]
        return sum(
            [world.writes(step.tool) for step in one.steps] == [False, False]
            for one in found
            for world in [World(one.tools, one.seed)]
        )

    assert commonest(("read>read.dep>answer",)) < commonest(())


def test_a_real_model_is_told_what_is_preferred_and_how_many_conditions():
    model = Saying("{}")
    target = Target(domain="shopping", shape="single", depth=1, conditions=1)
    one = command(target, models={"planner": RoleModel(model="openai/m", base_url="http://127.0.0.1:1")})
    performed(model, one.model_copy(update={"prefer": (0, 2)}))
    prompt = json.dumps(model.asked[0].messages)
    assert f"rather than others: {CLUSTER.tools[0].name}, {CLUSTER.tools[2].name}" in prompt
    assert "Optional arguments of each call that has any: 1" in prompt


# --- the plan, carried out


def carried_out(blueprint: Blueprint) -> tuple[list[dict], dict]:
    """The dialogue of a perfect run without faults, and the world's last state."""
    world, state = World(blueprint.tools, blueprint.seed), blueprint.initial_state
    tools = [
        {"type": "function", "function": {"name": tool.name, "parameters": tool.input_schema}}
        for tool in blueprint.tools
    ]
    messages: list[dict] = []
    for _ in range(30):
        shown = [one for one in messages if one["role"] != "tool" and "tool_calls" not in one]
        if not messages or (messages[-1]["role"] == "assistant" and "tool_calls" not in messages[-1]):
            said = user.reply(shown, blueprint.goal, blueprint.facts, blueprint.seed)
            messages.append({"role": "user", "content": said.content})
            if said.ends:
                return messages, state
        reply = assistant.reply(messages, tools, make_script(blueprint, messages), blueprint.seed)
        message: dict = {"role": "assistant", "content": reply.content}
        messages.append(message)
        if reply.calls:
            message["tool_calls"] = [
                {"id": one.id, "function": {"name": one.name, "arguments": one.arguments}}
                for one in reply.calls
            ]
        for call in reply.calls:
            state, observation = world.call(state, call.name, json.loads(call.arguments))
            content = json.dumps(observation.content)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    raise AssertionError("the dialogue does not end")


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: f"{one.shape}{one.depth}{'+'.join(one.flags)}")
@pytest.mark.parametrize("seed", range(5))
def test_the_actors_carry_a_plan_out_and_find_every_value_in_the_messages(target: Target, seed: int):
    blueprint = planned(command(target, seed))
    messages, state = carried_out(blueprint)
    made = [call["function"] for one in messages for call in one.get("tool_calls", ())]
    facts = {fact.name: fact.value for fact in blueprint.facts}
    expected = {step.id: step.expected for step in blueprint.steps}
    assert [(call["name"], json.loads(call["arguments"])) for call in made] == [
        (step.tool, {name: resolve_source(part, facts, expected) for name, part in step.arguments.items()})
        for step in blueprint.steps
    ]
    assert all(holds(assertion, state) for assertion in blueprint.assertions)
    for answer in blueprint.answer_facts:
        assert literal(at(expected[answer.step], answer.path)) in messages[-2]["content"]
    questions = [one for one in messages if one["role"] == "assistant" and one["content"].endswith("?")]
    assert bool(questions) == ("clarifies" in target.flags)
