"""The built-in catalog: servers written by hand, each a small pure state machine."""

from __future__ import annotations

from typing import Any, Final

from services.worlds.machine import Machine
from services.worlds.machines import (
    airline,
    bank,
    calendar,
    chat,
    clinic,
    code_host,
    drive,
    helpdesk,
    hr,
    music,
    shop,
    takeaway,
    tracker,
    warehouse,
)

MACHINES: Final[dict[str, Machine]] = {
    module.MACHINE.server.id: module.MACHINE
    for module in (
        airline,
        bank,
        calendar,
        chat,
        clinic,
        code_host,
        drive,
        helpdesk,
        hr,
        music,
        shop,
        takeaway,
        tracker,
        warehouse,
    )
}


def dump() -> list[dict[str, Any]]:
    """The catalog as raw MCP-style server objects, by id: the form in which any other catalog arrives."""
    return [_raw(MACHINES[server]) for server in sorted(MACHINES)]


def _raw(machine: Machine) -> dict[str, Any]:
    server = machine.server
    return {
        "id": server.id,
        "server": server.name,
        "description": server.description,
        "labels": list(server.domains),
        "tools": [
            {
                "name": tool.name,
                "description": tool.description,
                "inputSchema": tool.input_schema,
                "outputSchema": tool.output_schema,
                "annotations": {"readOnlyHint": tool.name not in machine.writes},
            }
            for tool in server.tools
        ],
    }
