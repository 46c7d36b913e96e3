"""A real MCP server, written with the SDK: ``python -m tests.support.mcp_shop [TRANSPORT PORT]``."""

from __future__ import annotations

import os
import sys
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("shop", instructions="Orders of a small shop")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def list_orders(status: str = "open", limit: int = 10) -> list[dict[str, Any]]:
    """List orders."""
    return [{"id": "o1", "status": status}][:limit]


@server.tool()
def cancel_order(order_id: str, reason: str) -> dict[str, str]:
    """Cancel an order."""
    return {"id": order_id, "reason": reason}


@server.tool(name=f"env_{'seen' if 'MCP_TEST_PASSED' in os.environ else 'hidden'}")
def environment() -> list[str]:
    """The names of the variables this server sees."""
    return sorted(os.environ)


if __name__ == "__main__":
    transport: Any = sys.argv[1] if len(sys.argv) > 1 else "stdio"
    server.run(transport, **({"port": int(sys.argv[2])} if len(sys.argv) > 2 else {}))
