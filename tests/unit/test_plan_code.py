"""Plans with code in them: on the built-in servers, every kind of work, and checked like any other plan."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from schemas.blueprint import Blueprint, Constant, FromStep, PlanBlueprint, Rejection, Step
from schemas.catalog import Cluster, Edge
from schemas.evolution import RoleModel, Target
from services.agent_runner.conversation import offered as columns
from services.agent_runner.verify import verify
from services.blueprint_planner.app import make_request
from services.blueprint_planner.checker import check, shape_of
from services.blueprint_planner.completion import needs, offered
from services.blueprint_planner.domain import Plan
from services.blueprint_planner.planning import plan
from services.sim import assistant, planner
from services.sim.code_tool import CODE_TOOL, is_code_tool, printed, simulated
from services.sim.json_schema import alike, at
from services.sim.script_maker import make_script
from services.worlds.machines import MACHINES
from services.worlds.world import World

Json = dict[str, Any]
Runs = list[tuple[Blueprint, list[Json]]]

EDGES = {
    "tracker": (
        ("list_projects", "list_project_tasks", "project_id", ("projects", "*", "project_id")),
        ("list_project_tasks", "get_task", "task_id", ("tasks", "*", "task_id")),
    ),
    "shop": (
        ("find_customer", "list_customer_orders", "customer_id", ("customer_id",)),
        ("list_customer_orders", "get_order", "order_id", ("orders", "*", "order_id")),
    ),
    "warehouse": (
        ("list_suppliers", "list_purchase_orders", "supplier_id", ("suppliers", "*", "supplier_id")),
        ("list_purchase_orders", "get_purchase_order", "purchase_order_id",
         ("purchase_orders", "*", "purchase_order_id")),
    ),
    "calendar": (
        ("list_calendars", "list_meetings", "calendar_id", ("calendars", "*", "calendar_id")),
        ("list_meetings", "get_meeting", "meeting_id", ("meetings", "*", "meeting_id")),
    ),
    "takeaway": (
        ("list_restaurants", "list_menu", "restaurant_id", ("restaurants", "*", "restaurant_id")),
        ("list_diner_orders", "get_food_order", "food_order_id", ("food_orders", "*", "food_order_id")),
    ),
}  # fmt: skip
TARGETS = (("chain", 2), ("chain", 3), ("chain", 4), ("dag", 3), ("dag", 4))
PACKAGES = ("numpy 2.1",)


def cluster(server: str) -> Cluster:
    tools = MACHINES[server].server.tools
    names = {tool.name for tool in tools}
    edges = tuple(
        Edge(source=f"{server}/{source}", target=f"{server}/{target}", parameter=parameter, path=path)
        for source, target, parameter, path in EDGES[server]
        if {source, target} <= names
    )
    assert len(edges) == len(EDGES[server]), server
    return Cluster(id=f"{server}#1", hash="h", domains=(server,), tools=tools, edges=edges)


def command(server: str, shape: str, depth: int, seed: int, flags: tuple[str, ...] = ()) -> PlanBlueprint:
    target = Target.model_validate(
        {"domain": server, "shape": shape, "depth": depth, "flags": (*flags, "codes")}
    )
    return PlanBlueprint(
        run=f"c.{seed}.1", campaign="c", generation=0, slot=seed, attempt=1, seed=seed, catalog_hash="cat",
        cluster=f"{server}#1", cluster_hash="h", target=target, code=True, packages=PACKAGES,
    )  # fmt: skip


def planned(order: PlanBlueprint) -> Blueprint | tuple[Rejection, ...]:
    own = cluster(order.target.domain)
    world = World(simulated(offered(order, own, ())), order.seed)
    return plan(order, own, (), planner.draft(order, own, world, world.initial()))


@pytest.fixture(scope="module")
def blueprints() -> list[Blueprint]:
    flags = ((), ("clarifies",), ("recovers",), ("clarifies", "recovers"))
    made = [
        planned(command(server, shape, depth, seed, flags[seed % 4] if depth > 2 else ()))
        for server in EDGES
        for shape, depth in TARGETS
        for seed in range(4)
    ]
    return [one for one in made if isinstance(one, Blueprint)]


def code_of(blueprint: Blueprint) -> Step:
    (step,) = [step for step in blueprint.steps if step.work is not None]
    return step


def test_code_is_planned_where_results_can_be_worked_on(blueprints: list[Blueprint]) -> None:
    assert len(blueprints) >= 45  # of 100: not every cluster can give every target
    kinds = Counter(code_of(one).work.kind for one in blueprints)
    assert kinds.keys() == {"filter", "join", "aggregate", "convert", "check"}
    assert kinds.most_common(1)[0][1] < 0.6 * len(blueprints)
    assert any(code_of(one) is not one.steps[-1] for one in blueprints), "none goes on with what code found"


def test_code_stands_on_earlier_results_and_something_needs_it(blueprints: list[Blueprint]) -> None:
    for one in blueprints:
        step = code_of(one)
        assert step.tool == CODE_TOOL
        assert step.arguments == {}
        assert needs(step)
        assert shape_of(one) == one.target.shape
        answered = {fact.step for fact in one.answer_facts}
        read = {
            part.step
            for other in one.steps
            for part in other.arguments.values()
            if isinstance(part, FromStep)
        }
        assert step.id in answered | read
        assert CODE_TOOL not in one.tool_domains
        assert sum(is_code_tool(tool) for tool in one.tools) == 1
        assert all("sandbox" not in key for key in one.initial_state)
        assert check(one) == ()


def test_the_same_command_gives_the_same_plan(blueprints: list[Blueprint]) -> None:
    one = blueprints[3]
    again = planned(
        command(one.target.domain, one.target.shape, one.target.depth, one.seed, one.target.flags[:-1])
    )
    assert again == one


def test_without_the_flag_the_code_tool_is_offered_and_not_needed() -> None:
    order = command("shop", "chain", 2, 5)
    plain = order.model_copy(update={"target": order.target.model_copy(update={"flags": ()})})
    made = planned(plain)
    assert isinstance(made, Blueprint)
    assert CODE_TOOL in made.distractors
    without = planned(plain.model_copy(update={"code": False, "packages": ()}))
    assert isinstance(without, Blueprint)
    assert (without.goal, without.steps) == (made.goal, made.steps)
    assert not any(is_code_tool(tool) for tool in without.tools)


def test_a_catalogs_own_tool_of_that_name_is_left_alone() -> None:
    own = cluster("shop")
    taken = own.tools[0].model_copy(update={"name": CODE_TOOL, "server": "sandbox"})
    assert not is_code_tool(taken)
    named = own.model_copy(update={"tools": (*own.tools[1:], taken)})
    tools = offered(command("shop", "chain", 2, 5), named, ())
    assert [tool.server for tool in tools if tool.name == CODE_TOOL] == ["sandbox"]


def without(step: Step, **changes: Any) -> Step:
    return step.model_copy(update=changes)


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        ("no_code", lambda step: without(step, work=None)),
        ("no_code", lambda step: without(step, tool="OTHER")),
        ("planned_code", lambda step: without(step, arguments={"code": Constant(value="print(4)")})),
        ("unworkable", lambda step: without(step, work=step.work.model_copy(update={"rows": ()}))),
        ("unworkable", lambda step: without(step, work=step.work.model_copy(update={"field": "nothing"}))),
        ("wrong_result", lambda step: without(step, expected={"total": -1})),
    ],
)
def test_the_checker_refuses_code_that_is_none(blueprints: list[Blueprint], code: str, broken: Any) -> None:
    one = next(one for one in blueprints if code_of(one) is one.steps[-1])
    other = next(tool.name for tool in one.tools if tool.name not in {step.tool for step in one.steps})
    step = broken(one.steps[-1])
    step = without(step, tool=other) if step.tool == "OTHER" else step
    bad = one.model_copy(update={"steps": (*one.steps[:-1], step), "distractors": ()})
    assert code in {rejection.code for rejection in check(bad)}


def test_the_checker_refuses_code_that_nothing_needs(blueprints: list[Blueprint]) -> None:
    one = next(one for one in blueprints if code_of(one) is one.steps[-1])
    assert "idle_code" in {rejection.code for rejection in check(one.model_copy(update={"answer_facts": ()}))}


def test_a_model_that_plans_is_told_how_to_plan_code() -> None:
    order = command("shop", "chain", 2, 5)
    order = order.model_copy(update={"models": {"planner": RoleModel(model="gpt-x")}})
    asked = make_request(Plan(order, cluster("shop"), (), (), "cause"))
    assert '"work"' in str(asked.messages[1]["content"])
    plain = order.model_copy(update={"target": order.target.model_copy(update={"flags": ()})})
    assert '"work"' not in str(
        make_request(Plan(plain, cluster("shop"), (), (), "cause")).messages[1]["content"]
    )


def python(code: str) -> Json:
    """What a call of the code tool returns; by this Python, which knows no sandbox."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    outcome = {"outcome": "ok" if not done.returncode else "error", "exit_code": done.returncode}
    return (
        outcome
        | ({"stdout": done.stdout} if done.stdout else {})
        | ({"stderr": done.stderr} if done.stderr else {})
    )


def played(one: Blueprint, seed: int = 1) -> list[Json]:
    """The run of a plan by the scripted assistant; the user tells everything at once."""
    told = [f"{fact.label}: {fact.value}" for fact in one.facts if fact.asked]
    world = World(simulated(one.tools), one.seed)
    state = one.initial_state
    opening = one.model_copy(
        update={"facts": tuple(fact.model_copy(update={"asked": False}) for fact in one.facts)}
    )
    goal = " ".join([one.goal, *(f"The {text}." for text in told)])
    messages: list[Json] = [{"role": "user", "content": goal}]
    for _ in range(12):
        script = make_script(opening, messages)
        reply = assistant.reply(messages, columns(one.tools), script, seed)
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
        messages.append(
            {
                "role": "assistant",
                "content": reply.content or None,
                **({"tool_calls": calls} if calls else {}),
            }
        )
        if not calls:
            break
        for call in calls:
            given = json.loads(call["function"]["arguments"])
            if call["function"]["name"] == CODE_TOOL:
                content = python(given["code"])
            else:
                state, observation = world.call(state, call["function"]["name"], given)
                content = observation.content
            answer = json.dumps(content, ensure_ascii=False)
            messages.append(
                {
                    "role": "tool",
                    "tool_call_id": call["id"],
                    "name": call["function"]["name"],
                    "content": answer,
                }
            )
    return messages


@pytest.fixture(scope="module")
def runs(blueprints: list[Blueprint]) -> Runs:
    """One run of each kind of work, and one that goes on after it; none with faults: nobody injects them."""
    plain = [one for one in blueprints if not {"recovers", "clarifies"} & set(one.target.flags)]
    kinds = {code_of(one).work.kind: one for one in blueprints if "recovers" not in one.target.flags}
    kinds |= {code_of(one).work.kind: one for one in plain}
    on = next(
        one for one in blueprints if code_of(one) is not one.steps[-1] and "recovers" not in one.target.flags
    )
    return [(one, played(one)) for one in (*kinds.values(), on)]


def code_call(messages: list[Json]) -> tuple[Json, Json]:
    """The call of the code tool, and its answer."""
    for index, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            if call["function"]["name"] == CODE_TOOL:
                answers = messages[index + 1 :]
                return call["function"], next(one for one in answers if one.get("tool_call_id") == call["id"])
    raise AssertionError("no code")


def test_played_plans_pass_and_the_answer_tells_what_was_printed(
    runs: list[tuple[Blueprint, list[Json]]],
) -> None:
    for blueprint, messages in runs:
        assert verify(blueprint, messages).findings == (), blueprint.goal
        step = code_of(blueprint)
        shown = printed(json.loads(code_call(messages)[1]["content"]))
        assert alike(shown, step.expected)
        for fact in blueprint.answer_facts:
            if fact.step == step.id:
                value = at(shown, fact.path)
                text = value if isinstance(value, str) else str(value).removesuffix(".0")
                assert text in messages[-1]["content"]


def findings(blueprint: Blueprint, messages: list[Json]) -> list[str]:
    return [one.code for one in verify(blueprint, messages).findings]


def test_another_output_is_a_wrong_result(runs: Runs) -> None:
    for blueprint, messages in runs:
        changed = json.loads(json.dumps(messages))
        _, answer = code_call(changed)
        answer["content"] = json.dumps({"outcome": "ok", "exit_code": 0, "stdout": '{"nothing": 0}\n'})
        assert "wrong_result" in findings(blueprint, changed)


def test_code_that_failed_is_a_failed_call(runs: Runs) -> None:
    blueprint, messages = runs[0]
    changed = json.loads(json.dumps(messages))
    code_call(changed)[1]["content"] = json.dumps({"outcome": "timeout", "reason": "more than 20 s"})
    assert "failed_call" in findings(blueprint, changed)


def test_code_that_failed_first_and_then_ran_passes(runs: Runs) -> None:
    """A call that took too long is no fault of the world's, and its repetition is the step."""
    blueprint, messages = runs[0]
    changed = json.loads(json.dumps(messages))
    place = next(
        index
        for index, message in enumerate(changed)
        if any(call["function"]["name"] == CODE_TOOL for call in message.get("tool_calls") or ())
    )
    failed = json.loads(json.dumps(changed[place : place + 2]))
    failed[0]["tool_calls"][0]["id"] = failed[1]["tool_call_id"] = "first"
    failed[1]["content"] = json.dumps({"outcome": "timeout", "reason": "more than 20 s"})
    assert findings(blueprint, [*changed[:place], *failed, *changed[place:]]) == []


def test_code_on_constants_of_its_own_is_caught(runs: Runs) -> None:
    for blueprint, messages in runs:
        changed = json.loads(json.dumps(messages))
        call, _ = code_call(changed)
        result = json.dumps(code_of(blueprint).expected)
        call["arguments"] = json.dumps({"code": f"print({result!r})"})
        assert "code_without_data" in findings(blueprint, changed)


def test_made_up_data_in_a_table_comes_from_nowhere(runs: Runs) -> None:
    blueprint, messages = runs[0]
    changed = json.loads(json.dumps(messages))
    call, _ = code_call(changed)
    code = json.loads(call["arguments"])["code"] + '\nmore = [{"id": "MADE-987123", "price": 12345.67}]'
    call["arguments"] = json.dumps({"code": code})
    assert findings(blueprint, changed) == ["ungrounded_value", "ungrounded_value"]


def test_another_way_to_write_it_passes(runs: Runs) -> None:
    """Text instead of JSON, in code of another style: what counts are the data and the result."""
    blueprint, messages = runs[0]
    changed = json.loads(json.dumps(messages))
    call, answer = code_call(changed)
    result = code_of(blueprint).expected
    answer["content"] = json.dumps({"outcome": "ok", "stdout": f"It comes to {result}.\n".replace("'", "")})
    call["arguments"] = json.dumps({"code": json.loads(call["arguments"])["code"] + "\n# more"})
    assert findings(blueprint, changed) == []
