"""What a plan's words point at: each reference, and each answer, can mean one record only."""

from __future__ import annotations

import random
from typing import Any

from schemas.blueprint import FromStep
from schemas.catalog import ToolSpec
from services.sim.plan_answers import choose_answers, mute
from services.sim.plan_references import pointed_at, unclear
from services.sim.plan_steps import Item, Planned
from services.worlds.world import Meaning, Verb


def step(
    identity: str,
    tool: str,
    verb: Verb,
    entity: str,
    observation: Any,
    *,
    read: dict[str, tuple[Planned, tuple[str | int, ...]]] | None = None,
    values: dict[str, Any] | None = None,
    wave: int | None = None,
) -> Planned:
    """A step as the planner makes it; ``read``: parameter to step and path. Its wave is its number less 1."""
    sources = {name: FromStep(step=origin.id, path=path) for name, (origin, path) in (read or {}).items()}
    taken: dict[str, Any] = dict(values or {})
    items: list[Item] = []
    for name, (origin, path) in (read or {}).items():
        value = origin.observation
        for place, part in enumerate(path):
            if isinstance(part, int):
                items.append(Item(origin.id, path[:place], part, len(value)))
            value = value[part]
        taken[name] = value
    return Planned(
        id=identity,
        tool=ToolSpec(server="x", name=tool, input_schema={"type": "object", "properties": {}}),
        meaning=Meaning(
            verb, entity, verb in ("create", "act", "update", "delete"), (f"see a {entity}",), {}
        ),
        sources=dict(sources),
        values=taken,
        observation=observation,
        wave=int(identity[1:]) - 1 if wave is None else wave,
        needs=tuple(dict.fromkeys(source.step for source in sources.values())),
        items=tuple(items),
    )


ORDER = {
    "order_id": "ORD-1",
    "customer_id": "CUS-1",
    "line_items": [{"product_id": "PRD-1", "quantity": 1}, {"product_id": "PRD-2", "quantity": 3}],
}
ORDERS = {"orders": [{"order_id": "ORD-7"}, {"order_id": "ORD-8"}, {"order_id": "ORD-1"}]}
GET = step("s1", "get_order", "get", "order", ORDER, values={"order_id": "ORD-1"})
LIST = step("s2", "list_orders", "list", "order", ORDERS, read={"customer_id": (GET, ("customer_id",))})


def test_what_a_record_holds_in_a_list_is_not_called_by_a_place_among_records():
    product = step(
        "s2", "get_product", "get", "product", {}, read={"product_id": (GET, ("line_items", 0, "product_id"))}
    )
    by_id = {one.id: one for one in (GET, product)}
    source = product.sources["product_id"]
    assert isinstance(source, FromStep)
    assert pointed_at("product_id", source, [product], by_id) == (
        "product",
        "the first product of that order",
    )
    assert unclear([GET, product], {}) == []


def test_that_order_is_unclear_once_other_orders_have_been_listed():
    product = step(
        "s3", "get_product", "get", "product", {}, read={"product_id": (GET, ("line_items", 0, "product_id"))}
    )
    assert unclear([GET, LIST, product], {}) == ["s3"]
    returned = step(
        "s3", "return_order", "act", "order", {}, read={"order_id": (LIST, ("orders", 0, "order_id"))}
    )
    assert unclear([GET, LIST, returned], {}) == []


def test_that_order_is_unclear_after_two_orders_and_clear_where_both_are_the_same():
    other = step("s2", "open_order", "get", "order", ORDER | {"order_id": "ORD-9", "customer_id": "CUS-9"})
    again = step("s2", "open_order", "get", "order", ORDER, values={"order_id": "ORD-1"})
    customer = step(
        "s3", "get_customer", "get", "customer", {}, read={"customer_id": (GET, ("customer_id",))}
    )
    assert unclear([GET, other, customer], {}) == ["s3"]
    assert unclear([GET, again, customer], {}) == []


def test_the_first_order_is_unclear_after_two_lists_of_orders():
    more = step(
        "s3", "search_orders", "search", "order", {"orders": [{"order_id": "ORD-5"}, {"order_id": "ORD-6"}]}
    )
    cancel = step(
        "s4", "cancel_order", "act", "order", {}, read={"order_id": (more, ("orders", 0, "order_id"))}
    )
    assert unclear([GET, LIST, more, cancel], {}) == ["s4"]


TASKS = {
    "tasks": [
        {"task_id": "TSK-1", "task_priority": "high", "due_date": "2026-03-08"},
        {"task_id": "TSK-2", "task_priority": "low", "due_date": "2026-03-11"},
    ]
}
LISTED = step("s1", "list_tasks", "list", "task", TASKS)
SEEN = step(
    "s2", "get_task", "get", "task", TASKS["tasks"][0], read={"task_id": (LISTED, ("tasks", 0, "task_id"))}
)
MADE = step("s3", "create_task", "create", "task", {"task_id": "TSK-3", "task_priority": "medium"})
STARTED = step(
    "s4",
    "start_task",
    "act",
    "task",
    {"task_id": "TSK-3", "task_priority": "medium"},
    read={"task_id": (MADE, ("task_id",))},
)


def test_answers_are_of_the_last_step_and_name_its_record_where_others_show_other_values():
    for seed in range(20):
        answers = choose_answers([LISTED, SEEN, MADE, STARTED], {}, random.Random(seed))
        assert [(one.step, one.label) for one in answers] == [("s4", "priority of the new task")]


def test_answers_of_a_looked_up_record_say_which_one_of_the_list_it_is():
    labels = {
        one.label for seed in range(20) for one in choose_answers([LISTED, SEEN], {}, random.Random(seed))
    }
    assert labels == {"priority of the first task", "due date of the first task"}


def test_answers_never_mix_the_last_step_with_an_earlier_one():
    group = step("s1", "get_group", "get", "group", {"group_name": "Blue", "member_total": 12})
    point = step("s2", "get_point", "get", "point", {"point_score": 31, "point_level": "upper"})
    for seed in range(20):
        answers = choose_answers([group, point], {}, random.Random(seed))
        assert {one.step for one in answers} == {"s2"}


def test_a_plan_that_ends_with_a_read_of_nothing_to_tell_is_mute():
    blank = step("s2", "check_group", "get", "group", {"ok": True})
    group = step("s1", "get_group", "get", "group", {"group_name": "Blue"})
    assert mute([group, blank], {})
    assert not mute([blank, step("s3", "get_point", "get", "point", {"point_score": 31})], {})


def test_two_records_of_a_kind_in_one_step_are_unclear():
    orders = step("s1", "list_orders", "list", "order", ORDERS)
    seen = step("s2", "get_order", "get", "order", ORDER, values={"order_id": "ORD-1"})
    read = {"order_id": (orders, ("orders", 1, "order_id")), "customer_id": (seen, ("customer_id",))}
    assert unclear([orders, seen, step("s3", "move_order", "act", "order", {}, read=read)], {}) == ["s3"]


def test_answers_of_two_records_of_a_list_say_their_places_in_the_list():
    closed = [
        step(
            f"s{index + 1}",
            "close_task",
            "act",
            "task",
            {"task_id": f"TSK-{index + 1}", "hours_logged": 7.5 + index},
            read={"task_id": (LISTED, ("tasks", index, "task_id"))},
            wave=1,
        )
        for index in (1,)
    ]
    opened = step("s3", "close_task", "act", "task", {"task_id": "TSK-9", "hours_logged": 3.5}, wave=1)
    labels = {
        one.label
        for seed in range(20)
        for one in choose_answers([LISTED, *closed, opened], {}, random.Random(seed))
        if one.step == "s2"
    }
    assert labels <= {"hours logged of the second task"}
    assert labels


def test_twins_take_the_elements_of_a_list_in_its_order():
    orders = step("s1", "list_orders", "list", "order", ORDERS)
    first = {"order_id": (orders, ("orders", 0, "order_id"))}
    second = {"order_id": (orders, ("orders", 1, "order_id"))}
    for one, other, found in ((first, second, []), (second, first, ["s3"]), (first, first, ["s3"])):
        twins = [
            step("s2", "move_order", "act", "order", {}, read=one, wave=1),
            step("s3", "move_order", "act", "order", {}, read=other, wave=1),
        ]
        assert unclear([orders, *twins], {}) == found


def test_what_one_of_two_twins_made_is_unclear_later():
    made = [step(f"s{n}", "make_task", "create", "task", {"task_id": f"TSK-{n}"}, wave=0) for n in (1, 2)]
    read = {"task_id": (made[0], ("task_id",))}
    later = step("s3", "start_task", "act", "task", {}, read=read, wave=1)
    assert unclear([*made, later], {}) == ["s3"]
    assert unclear([made[0], later], {}) == []
