"""Which tools a person could ask for: plain words for entity and parameters, values that mean something."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.catalog import ToolSpec
from services.worlds.clarity import CLEAR
from services.worlds.machines import MACHINES
from services.worlds.vocabulary import apart, called, is_sayable
from services.worlds.world import World


def tool(name: str, **properties: Any) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(server="api", name=name, description="", input_schema=schema)


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("spec", "clear"),
    [
        (tool("create_invoice", customer_id=TEXT, due_date={"type": "string", "format": "date"}), True),
        (tool("get_orgunit", orgunit_id=TEXT), True),
        (tool("get_tses", id=TEXT), False),
        (tool("create_invoice", xq_blob=TEXT), False),
        (tool("create_invoice", imagedata=TEXT), False),
        (tool("get_record", value=TEXT), False),
    ],
)
def test_tools_are_clear_when_they_can_be_asked_for(spec: ToolSpec, clear: bool) -> None:
    assert (World([spec], seed=1).clarity(spec.name) >= CLEAR) is clear


def test_tools_with_words_written_by_hand_are_clear() -> None:
    world = World(MACHINES["bank"].server.tools, seed=1)
    assert all(world.clarity(name) == 1.0 for name in world.tools)


def test_values_are_sayable_when_name_form_or_examples_tell_what_they_are() -> None:
    spec = tool(
        "create_item",
        email=TEXT,
        blob=TEXT,
        state={"enum": ["on", "off"]},
        count={"type": "integer"},
        address={"type": "object", "properties": {"city": TEXT}, "required": ["city"]},
        shade={"type": "string", "example": "dusty rose"},
    )
    world = World([spec], seed=1)
    found = {name: world.sayable("create_item", name) for name in spec.input_schema["properties"]}
    assert found == {
        "email": True, "blob": False, "state": True, "count": True, "address": True, "shade": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("reqId", "request ID"), ("qty", "quantity"), ("orgUnits", "organization units"),
        ("acct_num", "account number"),
        ("driverlocation", "driver location"), ("lang", "language"), ("playerid", "player ID"),
        ("no_cache", "no cache"), ("invoice_no", "invoice number"),
    ],
)  # fmt: skip
def test_identifiers_as_people_say_them(identifier: str, said: str) -> None:
    assert called(identifier) == said


def test_run_together_words_come_apart_only_into_words() -> None:
    assert apart("backupnow") == ("backup", "now")
    assert apart("delivery") == ("delivery",)
    assert apart("xqzzword") == ("xqzzword",)
    assert is_sayable("order ID")
    assert not is_sayable("iqa code")
