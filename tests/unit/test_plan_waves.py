"""Calls side by side: what the planner may send out together, and where a fault may be put."""

from __future__ import annotations

from typing import Any

import pytest

from services.sim.plan_steps import Planned
from services.sim.plan_waves import Made, delayable, fits_beside, made
from services.worlds.machines import MACHINES
from services.worlds.world import World

WORLD = World(MACHINES["shop"].server.tools, 5)
STATE = WORLD.initial()
TOOLS = {tool.name: tool for tool in MACHINES["shop"].server.tools}


def order(status: str, index: int = 0) -> str:
    found = [key for key, one in STATE["shop"]["orders"].items() if one["order_status"] == status]
    return found[index]


def step(number: int, tool: str, wave: int = 0, **values: Any) -> Planned:
    _, observation = WORLD.call(STATE, tool, values)
    assert not observation.error, observation.content
    return Planned(
        id=f"s{number}",
        tool=TOOLS[tool],
        meaning=WORLD.meaning(tool),
        sources={},
        values=values,
        observation=observation.content,
        wave=wave,
        needs=(),
        items=(),
    )


def redirected(number: int, key: str, place: str) -> Planned:
    return step(number, "change_shipping_address", order_id=key, shipping_address=place)


@pytest.mark.parametrize(
    ("tool", "values"),
    [
        ("cancel_order", {}),
        ("get_order", {}),
        ("change_shipping_address", {"shipping_address": "1 Elm Terrace, Ashford 10001"}),
    ],
)
def test_given_a_change_of_a_record_then_no_other_call_on_it_goes_out_with_it(
    tool: str, values: dict[str, Any]
) -> None:
    key = order("processing")
    first = redirected(1, key, "18 Orchard Hill, Fairview 48210")
    other = made(step(2, tool, order_id=key, **values))
    assert not fits_beside(WORLD, STATE, [first], other)


def test_given_two_records_then_changes_of_both_go_out_together() -> None:
    first = redirected(1, order("processing"), "18 Orchard Hill, Fairview 48210")
    second = redirected(2, order("processing", 1), "1 Elm Terrace, Ashford 10001")
    assert fits_beside(WORLD, STATE, [first], made(second))
    assert delayable(WORLD, STATE, [first, second]) == [0]


def test_given_reads_then_they_go_out_together_and_any_may_be_delayed() -> None:
    first, second = step(1, "get_order", order_id=order("processing")), step(2, "list_promotions")
    assert fits_beside(WORLD, STATE, [first], made(second))
    assert delayable(WORLD, STATE, [first, second]) == [0, 1]


def test_given_two_creations_side_by_side_then_no_fault_may_change_their_numbers() -> None:
    customers = list(STATE["shop"]["customers"])
    product, other = WORLD.known(STATE, "place_order", "product_id")[:2]
    first = step(1, "place_order", customer_id=customers[0], product_id=product, quantity=1)
    second = step(2, "place_order", customer_id=customers[1], product_id=other, quantity=2)
    assert fits_beside(WORLD, STATE, [first], made(second))
    assert delayable(WORLD, STATE, [first, second]) == []


def test_given_another_server_then_its_calls_are_never_in_the_way() -> None:
    first = redirected(1, order("processing"), "18 Orchard Hill, Fairview 48210")
    elsewhere = Made("bank", "freeze_card", {"card_id": "CRD-1"}, {}, writes=True, creates=False)
    assert fits_beside(WORLD, STATE, [first], elsewhere)
