"""Blueprints made by hand, and a plain reference run of each: what a flawless dialogue looks like.

``played`` takes every value from the world's own answers, asks for what the user has not said, retries
after injected faults and reports what must be reported; it shares no code with the scripted actors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from schemas.blueprint import (
    AnswerFact,
    Assertion,
    Blueprint,
    Constant,
    Fact,
    Fault,
    FromFact,
    FromStep,
    ListOf,
    ObjectOf,
    Source,
    Step,
)
from schemas.catalog import ToolSpec
from schemas.evolution import Target
from services.worlds.machines import MACHINES
from services.worlds.world import World

Messages = list[dict[str, Any]]


def blueprint(
    name: str,
    tools: Sequence[ToolSpec],
    goal: str,
    facts: Sequence[Fact],
    steps: Sequence[Step],
    answer: Sequence[AnswerFact],
    seed: int = 11,
) -> Blueprint:
    """A blueprint without assertions; ``expected`` is filled in by a run on the world."""
    used = {step.tool for step in steps}
    world = World(tools, seed)
    made = Blueprint(
        id=f"{name}.0.0",
        campaign=name,
        generation=0,
        slot=0,
        attempt=0,
        seed=seed,
        catalog_hash="",
        cluster="",
        cluster_hash="",
        domains=("test",),
        tool_domains={tool.name: tool.server for tool in tools},
        persona="A plain person.",
        goal=goal,
        facts=tuple(facts),
        initial_state=world.initial(),
        steps=tuple(steps),
        tools=tuple(tools),
        distractors=tuple(tool.name for tool in tools if tool.name not in used),
        answer_facts=tuple(answer),
        target=Target(domain="test", shape="chain", depth=len(steps)),
    )
    results = run(made)[1]
    filled = [step.model_copy(update={"expected": results[step.id]}) for step in steps]
    return made.model_copy(update={"steps": tuple(filled)})


def resolved(source: Source, facts: dict[str, Any], results: dict[str, Any]) -> Any:
    """The value of a source."""
    match source:
        case FromFact(fact=fact):
            return facts[fact]
        case Constant(value=value):
            return value
        case FromStep(step=step, path=path):
            value = results[step]
            for key in path:
                value = value[key]
            return value
        case ObjectOf(fields=fields):
            return {key: resolved(part, facts, results) for key, part in fields.items()}
        case ListOf(items=items):
            return [resolved(part, facts, results) for part in items]


def run(plan: Blueprint) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state at the end of the plan, and the steps' results; every call succeeds."""
    world, state, results = World(plan.tools, plan.seed), plan.initial_state, {}
    facts = {fact.name: fact.value for fact in plan.facts}
    for step in sorted(plan.steps, key=lambda one: one.wave):
        arguments = {key: resolved(source, facts, results) for key, source in step.arguments.items()}
        state, observation = world.call(state, step.tool, arguments)
        assert not observation.error, (step.id, observation.content)
        results[step.id] = observation.content
    return state, results


def played(plan: Blueprint) -> Messages:
    """The flawless dialogue of a plan, as it would be exported."""
    world, state, results = World(plan.tools, plan.seed), plan.initial_state, {}
    facts = {fact.name: fact.value for fact in plan.facts}
    messages: Messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": plan.goal},
    ]
    asked = [fact for fact in plan.facts if fact.asked]
    if asked:
        labels = " and ".join(f"the {fact.label}" for fact in asked)
        told = " and ".join(f"the {fact.label} is {fact.value}" for fact in asked)
        messages.append({"role": "assistant", "content": f"Could you tell me {labels}?"})
        messages.append({"role": "user", "content": f"Sure, {told}."})
    left = {step.id: step.fault.times if step.fault else 0 for step in plan.steps}
    number = 0
    for wave in sorted({step.wave for step in plan.steps}):
        due = [step for step in plan.steps if step.wave == wave]
        while due:
            calls, answers, again = [], [], []
            for step in due:
                arguments = {key: resolved(source, facts, results) for key, source in step.arguments.items()}
                if step.fault and left[step.id]:
                    left[step.id] -= 1
                    content: Any = {"error": {"code": step.fault.error, "message": "Please try again."}}
                    again.append(step)
                else:
                    state, observation = world.call(state, step.tool, arguments)
                    content = results[step.id] = observation.content
                identity, number = f"call_{number}", number + 1
                function = {"name": step.tool, "arguments": json.dumps(arguments)}
                calls.append({"id": identity, "type": "function", "function": function})
                answers.append(
                    {
                        "role": "tool",
                        "tool_call_id": identity,
                        "name": step.tool,
                        "content": json.dumps(content),
                    }
                )
            messages += [{"role": "assistant", "content": None, "tool_calls": calls}, *answers]
            due = again
    reported = [
        f"The {fact.label} is {resolved(FromStep(step=fact.step, path=fact.path), facts, results)}."
        for fact in plan.answer_facts
    ]
    return [*messages, {"role": "assistant", "content": " ".join(["All done.", *reported])}]


def server(name: str) -> tuple[ToolSpec, ...]:
    """All tools of a hand-written server."""
    return MACHINES[name].server.tools


def asserted(plan: Blueprint) -> Blueprint:
    """The plan with one assertion for every value that it changes or adds, lists aside."""
    before, after = scalars(plan.initial_state), scalars(run(plan)[0])
    changed = [path for path, value in after.items() if before.get(path, plan) != value]
    assertions = tuple(Assertion(path=path, op="equals", value=after[path]) for path in changed)
    assert assertions
    return plan.model_copy(update={"assertions": assertions})


def scalars(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The scalars of nested objects by their paths."""
    if not isinstance(value, dict):
        return {} if isinstance(value, list) else {path: value}
    found: dict[tuple[str, ...], Any] = {}
    for key, item in value.items():
        found |= scalars(item, (*path, key))
    return found


def cancelled_order() -> Blueprint:
    """A chain with a question: find the customer and their orders, redirect one, then cancel it."""
    tools = server("shop")
    world = World(tools, 11)
    state = world.initial()
    for email in world.known(state, "find_customer", "customer_email"):
        _, customer = world.call(state, "find_customer", {"customer_email": email})
        _, orders = world.call(
            state, "list_customer_orders", {"customer_id": customer.content["customer_id"], "limit": 10}
        )
        places = [
            place
            for place, order in enumerate(orders.content["orders"])
            if order["order_status"] == "processing"
        ]
        if places:
            break
    order = FromStep(step="s2", path=("orders", places[0], "order_id"))
    plan = blueprint(
        "cancelled",
        tools,
        f"Hi, please redirect an order of mine and then cancel it. My email address is {email}.",
        (
            Fact(name="email", label="email address", value=email),
            Fact(name="address", label="delivery address", value="18 Elm Street, Riverton 55012", asked=True),
        ),
        (
            Step(id="s1", tool="find_customer", arguments={"customer_email": FromFact(fact="email")}),
            Step(
                id="s2",
                tool="list_customer_orders",
                arguments={
                    "customer_id": FromStep(step="s1", path=("customer_id",)),
                    "limit": Constant(value=10),
                },
                wave=1,
            ),
            Step(
                id="s3",
                tool="change_shipping_address",
                arguments={"order_id": order, "shipping_address": FromFact(fact="address")},
                wave=2,
            ),
            Step(id="s4", tool="cancel_order", arguments={"order_id": order}, wave=3, after=("s3",)),
        ),
        (AnswerFact(label="order number", step="s4", path=("order_id",)),),
    )
    return asserted(plan)


def moved_money() -> Blueprint:
    """A service that fails twice, parallel reads of which one fails, and a transfer of an amount."""
    tools = server("bank")
    world = World(tools, 11)
    state = world.initial()
    for email in world.known(state, "find_account_holder", "account_holder_email"):
        _, client = world.call(state, "find_account_holder", {"account_holder_email": email})
        holder = client.content["account_holder_id"]
        _, found = world.call(state, "list_holder_accounts", {"account_holder_id": holder})
        if len(found.content["accounts"]) > 1:
            break
    first, second = (FromStep(step="s2", path=("accounts", place, "account_id")) for place in (0, 1))
    transfer: dict[str, Source] = {
        "account_id": first,
        "to_account_id": second,
        "amount": FromFact(fact="amount"),
        "memo": FromFact(fact="memo"),
    }
    plan = blueprint(
        "moved",
        tools,
        f"I want to move 42.5 between my accounts. My email is {email}, the memo is rent for May.",
        (
            Fact(name="email", label="email", value=email),
            Fact(name="amount", label="amount", value=42.5),
            Fact(name="memo", label="memo", value="rent for May"),
        ),
        (
            Step(
                id="s1",
                tool="find_account_holder",
                arguments={"account_holder_email": FromFact(fact="email")},
                fault=Fault(error="timeout", times=2),
            ),
            Step(
                id="s2",
                tool="list_holder_accounts",
                arguments={"account_holder_id": FromStep(step="s1", path=("account_holder_id",))},
                wave=1,
            ),
            Step(id="s3", tool="get_account", arguments={"account_id": first}, wave=2),
            Step(
                id="s4",
                tool="get_account",
                arguments={"account_id": second},
                wave=2,
                fault=Fault(error="rate_limited"),
            ),
            Step(id="s5", tool="transfer_money", arguments=transfer, wave=3, after=("s3", "s4")),
        ),
        (AnswerFact(label="balance", step="s4", path=("balance",)),),
    )
    return asserted(plan)


def schema(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    """A closed object schema."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def filed_card() -> Blueprint:
    """A service known from its definitions alone: list boards, file a card with an object and a list."""
    text = {"type": "string"}
    board = {"type": "object", "properties": {"board_id": text, "name": text}}
    card = {"type": "object", "properties": {"card_id": text, "board_id": text, "title": text}}
    tools = (
        ToolSpec(
            server="boards",
            name="list_boards",
            description="List all boards.",
            input_schema=schema(archived={"type": "boolean", "default": False}),
            output_schema={"type": "object", "properties": {"boards": {"type": "array", "items": board}}},
            method="GET",
            path="/boards",
        ),
        ToolSpec(
            server="boards",
            name="create_card",
            description="Create a card on a board.",
            input_schema=schema(
                ["board_id", "title"],
                board_id={"type": "string"},
                title={"type": "string"},
                priority={"enum": ["low", "high"]},
                estimate=schema(hours={"type": "number"}),
                tags={"type": "array", "items": {"type": "string"}},
            ),
            output_schema=card,
            method="POST",
            path="/boards/{board_id}/cards",
        ),
        ToolSpec(
            server="boards",
            name="delete_card",
            description="Delete a card.",
            input_schema=schema(["card_id"], card_id={"type": "string"}),
            method="DELETE",
            path="/cards/{card_id}",
        ),
    )
    plan = blueprint(
        "filed",
        tools,
        'Put a card on the first board: the title is "Order new chairs", the estimate is 3, the tag office.',
        (
            Fact(name="title", label="title", value="Order new chairs"),
            Fact(name="hours", label="estimate", value=3),
            Fact(name="tag", label="tag", value="office"),
        ),
        (
            Step(id="s1", tool="list_boards", arguments={"archived": Constant(value=False)}),
            Step(
                id="s2",
                tool="create_card",
                arguments={
                    "board_id": FromStep(step="s1", path=("boards", 0, "board_id")),
                    "title": FromFact(fact="title"),
                    "priority": Constant(value="high"),
                    "estimate": ObjectOf(fields={"hours": FromFact(fact="hours")}),
                    "tags": ListOf(items=(FromFact(fact="tag"),)),
                },
                wave=1,
            ),
        ),
        (AnswerFact(label="card number", step="s2", path=("card_id",)),),
    )
    return asserted(plan)


HANDMADE = {"cancelled": cancelled_order, "moved": moved_money, "filed": filed_card}
