"""Verification by rules: flawless runs pass, each planted defect is caught with its own reason first."""

from __future__ import annotations

import copy
import json

import pytest

from schemas.blueprint import Fact
from schemas.evolution import RoleModel
from services.agent_runner.trace import actions, content_hash, executed
from services.agent_runner.verify import RULES, unusable, verify
from services.worlds.world import World
from tests.support.defects import KINDS, plant
from tests.support.handmade import HANDMADE, played

SEEDS = range(6)


@pytest.fixture(scope="module")
def runs():
    made = {name: make() for name, make in HANDMADE.items()}
    return {name: (blueprint, played(blueprint)) for name, blueprint in made.items()}


@pytest.fixture
def cancelled(runs):
    blueprint, messages = runs["cancelled"]
    return blueprint, copy.deepcopy(messages)


@pytest.fixture
def moved(runs):
    blueprint, messages = runs["moved"]
    return blueprint, copy.deepcopy(messages)


def codes(blueprint, messages):
    return [finding.code for finding in verify(blueprint, messages).findings]


def whose(blueprint, messages):
    return [finding.attribution for finding in verify(blueprint, messages).findings]


def position(messages, tool):
    """Index of the first assistant turn that calls the tool."""
    return next(
        index
        for index, message in enumerate(messages)
        if any(call["function"]["name"] == tool for call in message.get("tool_calls") or ())
    )


def function(messages, tool):
    calls = messages[position(messages, tool)]["tool_calls"]
    return next(call["function"] for call in calls if call["function"]["name"] == tool)


def change(messages, tool, **arguments):
    made = function(messages, tool)
    made["arguments"] = json.dumps(json.loads(made["arguments"]) | arguments)


def insert(blueprint, messages, index, tool, arguments):
    """A further call, answered by the world as it stands at that place."""
    world, state = World(blueprint.tools, blueprint.seed), blueprint.initial_state
    for call in executed(messages[:index]):
        if not call.error:
            state, _ = world.call(state, call.name, call.arguments)
    _, observation = world.call(state, tool, arguments)
    call = {"id": "more", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
    answer = {
        "role": "tool",
        "tool_call_id": "more",
        "name": tool,
        "content": json.dumps(observation.content),
    }
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [*messages[:index], turn, answer, *messages[index:]]


@pytest.mark.parametrize("name", HANDMADE)
def test_flawless_runs_pass(runs, name):
    blueprint, messages = runs[name]
    assert verify(blueprint, messages).findings == ()
    assert verify(blueprint, messages[1:]).passed, "the system message is optional"
    assert verify(blueprint, [*messages, {"role": "user", "content": "Thank you!"}]).passed


@pytest.mark.parametrize("kind", KINDS)
def test_each_defect_is_caught_with_its_own_reason(runs, kind):
    places = 0
    for blueprint, messages in runs.values():
        for seed in SEEDS:
            planted = plant(kind, blueprint, messages, seed)
            if planted is not None:
                places += 1
                verdict = verify(blueprint, planted)
                assert not verdict.passed
                assert verdict.findings[0].code == kind, (planted, verdict.findings)
    assert places >= len(SEEDS)


@pytest.mark.parametrize("kind", KINDS)
def test_planting_is_deterministic_and_leaves_the_run_alone(runs, kind):
    blueprint, messages = runs["cancelled"]
    before = copy.deepcopy(messages)
    assert plant(kind, blueprint, messages, 3) == plant(kind, blueprint, messages, 3)
    assert messages == before


def test_defects_that_have_no_place_are_not_planted(runs):
    blueprint, messages = runs["filed"]
    silent = blueprint.model_copy(update={"answer_facts": (), "facts": ()})
    assert plant("answer_without_fact", silent, messages, 0) is None
    assert plant("contradiction", silent, messages, 0) is None


def test_further_reads_are_legal(cancelled):
    blueprint, messages = cancelled
    order = json.loads(function(messages, "cancel_order")["arguments"])["order_id"]
    read = insert(blueprint, messages, position(messages, "cancel_order"), "get_order", {"order_id": order})
    assert verify(blueprint, read).findings == ()


def test_a_read_that_fails_and_is_made_right_is_legal(cancelled):
    blueprint, messages = cancelled
    address = json.loads(function(messages, "change_shipping_address")["arguments"])["shipping_address"]
    # The address is grounded, and no order has it for a number.
    index = position(messages, "change_shipping_address")
    assert verify(blueprint, insert(blueprint, messages, index, "get_order", {"order_id": address})).passed


def test_an_unplanned_write_is_not(cancelled):
    blueprint, messages = cancelled
    customer = json.loads(function(messages, "list_customer_orders")["arguments"])["customer_id"]
    product = next(
        item["product_id"]
        for item in json.loads(messages[position(messages, "cancel_order") - 1]["content"])["line_items"]
    )
    arguments = {"customer_id": customer, "product_id": product, "quantity": 1}
    index = position(messages, "cancel_order")
    messages[1]["content"] += " I had 1 of each."
    found = codes(blueprint, insert(blueprint, messages, index, "place_order", arguments))
    assert "unexpected_write" in found


def test_an_unplanned_failure_of_a_service_is_the_tools(moved):
    blueprint, messages = moved
    plain = blueprint.model_copy(
        update={"steps": tuple(step.model_copy(update={"fault": None}) for step in blueprint.steps)}
    )
    verdict = verify(plain, messages)
    assert {finding.code for finding in verdict.findings} == {"wrong_observation"}
    assert {finding.attribution for finding in verdict.findings} == {"tools"}


def test_a_fault_that_is_never_retried_leaves_its_step_open(moved):
    blueprint, messages = moved
    retry = next(
        index
        for index, message in enumerate(messages)
        if len(message.get("tool_calls") or ()) == 1
        and message["tool_calls"][0]["function"]["name"] == "get_account"
    )
    found = codes(blueprint, messages[:retry] + messages[retry + 2 :])
    assert found[0] == "missing_call"


def test_observations_of_other_tool_simulators_are_not_held_against_the_world(cancelled):
    blueprint, messages = cancelled
    index = position(messages, "list_customer_orders") + 1
    content = json.loads(messages[index]["content"]) | {"total_found": 77}
    messages[index]["content"] = json.dumps(content)
    assert codes(blueprint, messages) == ["wrong_observation"]
    assert whose(blueprint, messages) == ["tools"]
    other = blueprint.model_copy(update={"models": {"tools": RoleModel(model="openai/other")}})
    assert verify(other, messages).passed


def test_a_result_without_what_the_plan_reads_is_the_tools(cancelled):
    blueprint, messages = cancelled
    index = position(messages, "find_customer") + 1
    messages[index]["content"] = json.dumps(
        {"customer": json.loads(messages[index]["content"])["customer_id"]}
    )
    other = blueprint.model_copy(update={"models": {"tools": RoleModel(model="openai/other")}})
    verdict = verify(other, messages)
    assert [finding.code for finding in verdict.findings] == ["missing_observation"]
    assert verdict.findings[0].attribution == "tools"


def test_arguments_that_break_the_schema(cancelled):
    blueprint, messages = cancelled
    change(messages, "list_customer_orders", limit="ten")
    assert codes(blueprint, messages)[0] == "schema_violation"
    assert unusable(blueprint, messages)[0].code == "schema_violation"


@pytest.mark.parametrize("kind", ["invented_tool", "broken_json"])
def test_calls_that_can_never_pass_are_told_at_once(cancelled, kind):
    blueprint, messages = cancelled
    assert unusable(blueprint, messages) == ()
    assert unusable(blueprint, plant(kind, blueprint, messages, 0))[0].code == kind


def test_ids_used_twice(cancelled):
    blueprint, messages = cancelled
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["id"] = "same"
        if message["role"] == "tool":
            message["tool_call_id"] = "same"
    assert codes(blueprint, messages)[0] == "repeated_id"


def test_order_of_roles_and_empty_turns(cancelled):
    blueprint, messages = cancelled
    assert codes(blueprint, [*messages[:2], messages[1], *messages[2:]])[0] == "malformed_role"
    messages[2]["content"] = "  "
    assert codes(blueprint, messages)[0] == "empty_message"


def test_a_call_answered_by_an_error_of_the_world(cancelled):
    blueprint, messages = cancelled
    # Cancelled first, the order can no longer be redirected: the plan's own call fails.
    index = position(messages, "change_shipping_address")
    before, after = messages[index : index + 2], messages[index + 2 : index + 4]
    world, state = World(blueprint.tools, blueprint.seed), blueprint.initial_state
    for call, answer in ((after[0], after[1]), (before[0], before[1])):
        made = call["tool_calls"][0]["function"]
        state, observation = world.call(state, made["name"], json.loads(made["arguments"]))
        answer["content"] = json.dumps(observation.content)
    found = codes(blueprint, [*messages[:index], *after, *before, *messages[index + 4 :]])
    assert found[0] == "swapped_order"
    assert "failed_call" in found


def test_a_user_who_withholds_a_fact_is_at_fault(cancelled):
    blueprint, messages = cancelled
    end = {"role": "assistant", "content": "I'm sorry, but without the delivery address I can't do this."}
    verdict = verify(blueprint, [*messages[:3], {"role": "user", "content": "I don't know."}, end])
    assert verdict.findings[0].code == "early_stop"
    assert verdict.findings[0].attribution == "user"


def test_a_user_who_contradicts_their_facts_is_at_fault(cancelled):
    blueprint, messages = cancelled
    messages[3]["content"] = "Sure, the delivery address is 21 Elm Street, Riverton 55012."
    change(messages, "change_shipping_address", shipping_address="21 Elm Street, Riverton 55012")
    verdict = verify(blueprint, messages)
    assert (verdict.findings[0].code, verdict.findings[0].attribution) == ("contradiction", "user")


def test_an_asked_fact_passed_before_it_was_told(cancelled):
    blueprint, messages = cancelled
    found = codes(blueprint, [*messages[:2], *messages[4:]])
    assert found[0] == "ungrounded_value"


def test_enum_members_may_be_spoken_as_prose(cancelled):
    blueprint, messages = cancelled
    reason = Fact(name="why", label="reason", value="changed_mind", asked=True)
    held = blueprint.model_copy(update={"facts": (*blueprint.facts, reason)})
    messages[3]["content"] += ' The reason is "changed mind".'
    assert verify(held, messages).passed
    messages[3]["content"] = messages[3]["content"].replace("changed mind", "arrived late")
    assert codes(held, messages) == ["contradiction"]


def test_an_answer_may_format_numbers_and_capitals(moved):
    blueprint, messages = moved
    balance = blueprint.answer_facts[0]
    value = next(step.expected for step in blueprint.steps if step.id == balance.step)["balance"]
    messages[-1]["content"] = f"Done! Your BALANCE is now ${value:,.2f}."
    assert verify(blueprint, messages).passed
    messages[-1]["content"] = f"Done! Your balance is now ${value + 1:,.2f}."
    assert codes(blueprint, messages) == ["answer_without_fact"]


def test_an_argument_left_to_its_default_is_as_planned(cancelled):
    blueprint, messages = cancelled
    function(messages, "list_customer_orders")["arguments"] = json.dumps(
        {"customer_id": json.loads(function(messages, "list_customer_orders")["arguments"])["customer_id"]}
    )
    assert verify(blueprint, messages).passed


def test_two_steps_of_one_tool_may_go_out_in_either_order(moved):
    blueprint, messages = moved
    index = position(messages, "get_account")
    parallel = messages[index]["tool_calls"]
    first, second = parallel[0]["function"], parallel[1]["function"]
    first["arguments"], second["arguments"] = second["arguments"], first["arguments"]
    # The one that failed is made again; the other has been answered.
    change_retry = messages[index + 3]["tool_calls"][0]["function"]
    change_retry["arguments"] = second["arguments"]
    world = World(blueprint.tools, blueprint.seed)
    for place, made in ((index + 1, first), (index + 4, change_retry)):
        content = world.call(blueprint.initial_state, "get_account", json.loads(made["arguments"]))[1].content
        messages[place]["content"] = json.dumps(content)
    messages[-1]["content"] += f" The other has {json.loads(messages[index + 1]['content'])['balance']}."
    assert verify(blueprint, messages).passed


def test_findings_stand_in_the_order_of_the_rules(runs):
    rank = {code: place for place, code in enumerate(RULES)}
    for blueprint, messages in runs.values():
        for kind in KINDS:
            planted = plant(kind, blueprint, messages, 1)
            ranks = [rank[code] for code in codes(blueprint, planted)] if planted else []
            assert ranks == sorted(ranks)


def test_nothing_that_a_model_may_send_raises(cancelled):
    blueprint, messages = cancelled
    odd = [
        [],
        [{"role": "user", "content": None}],
        [{"role": "assistant", "content": None, "tool_calls": [{"id": None, "function": {}}]}],
        [
            {
                "role": "assistant",
                "content": "x",
                "tool_calls": [{"id": "a", "function": {"name": 1, "arguments": 2}}],
            }
        ],
        [{"role": "tool", "content": "not json"}, *messages],
        [{"content": "no role"}],
        messages[:-1],
    ]
    for dialogue in odd:
        assert not verify(blueprint, dialogue).passed
        actions(blueprint, dialogue)


def test_actions_of_a_chain_with_a_question(runs):
    found = actions(*runs["cancelled"])
    assert [action.kind for action in found] == ["clarify", "read", "read", "write", "write", "answer"]
    assert [action.tool for action in found[1:5]] == [
        "find_customer", "list_customer_orders", "change_shipping_address", "cancel_order",
    ]  # fmt: skip
    assert [action.wave for action in found] == [0, 1, 2, 3, 4, 5]
    assert [action.arguments for action in found] == [0, 1, 2, 2, 1, 0]
    assert [action.dependent for action in found] == [0, 0, 1, 1, 1, 0]
    assert {action.candidates for action in found if action.tool} == {12}
    assert {action.domain for action in found if action.tool} == {"shop"}


def test_actions_with_faults_and_a_parallel_wave(runs):
    found = actions(*runs["moved"])
    assert [action.error for action in found] == [True, True, False, False, False, True, False, False, False]
    assert [action.retry for action in found] == [False, True, True, False, False, False, True, False, False]
    assert found[4].wave == found[5].wave == found[6].wave - 1
    assert not any(action.repeat for action in found)


def test_repeats_confirmations_and_refusals(cancelled):
    blueprint, messages = cancelled
    order = json.loads(function(messages, "cancel_order")["arguments"])["order_id"]
    index = position(messages, "change_shipping_address")
    again = json.loads(function(messages, "list_customer_orders")["arguments"])
    repeated = insert(blueprint, messages, index, "list_customer_orders", again)
    assert [action.repeat for action in actions(blueprint, repeated)].count(True) == 1
    late = insert(blueprint, messages, len(messages) - 1, "list_customer_orders", again)
    assert not any(action.repeat for action in actions(blueprint, late)), "a state change lies between"
    question = {"role": "assistant", "content": f"Shall I cancel {order}?"}
    yes = {"role": "user", "content": "Yes, please."}
    asked = [*messages[:index], question, yes, *messages[index:]]
    assert [action.kind for action in actions(blueprint, asked)].count("confirm") == 1
    declined = [*messages[:2], {"role": "assistant", "content": "I'm sorry, I can't help with that."}]
    assert [action.kind for action in actions(blueprint, declined)] == ["refuse"]


def test_content_hash_covers_what_is_said_and_done_but_not_ids(cancelled):
    blueprint, messages = cancelled
    first = content_hash(blueprint.tools, messages)
    renamed = json.loads(json.dumps(messages).replace('"call_', '"id_'))
    assert content_hash(blueprint.tools, renamed) == first
    assert content_hash(tuple(reversed(blueprint.tools)), messages) == first
    assert content_hash(blueprint.tools[1:], messages) != first
    messages[-1]["content"] += "!"
    assert content_hash(blueprint.tools, messages) != first
