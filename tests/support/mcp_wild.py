"""MCP servers as they should not be, over stdio: ``python -m tests.support.mcp_wild HOW``. No SDK here."""

from __future__ import annotations

import json
import subprocess
import sys
import time


def tool(number: int) -> dict[str, object]:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    return {"name": f"tool_{number}", "description": "Do it", "inputSchema": schema}


def answer(how: str, cursor: int) -> dict[str, object]:
    """The result of tools/list."""
    if how == "ten_thousand":
        return {"tools": [tool(number) for number in range(10_000)]}
    if how == "pages":
        return {"tools": [tool(100 * cursor + n) for n in range(100)], "nextCursor": str(cursor + 1)}
    if how == "loop":
        return {"tools": [tool(cursor)], "nextCursor": "0"}
    if how == "wild":
        broken = {"name": "broken", "inputSchema": "none"}
        return {"tools": [tool(1), {"name": 5}, "text", broken, {**tool(2), "name": "two words"}]}
    if how == "no_list":
        return {"tools": {"a": 1}}
    if how == "large":
        return {"tools": [{**tool(1), "description": "x" * 20_000_000}]}
    if how == "dies_listing":
        sys.exit(1)
    if how == "hangs_listing":
        time.sleep(1000)
    return {"tools": [] if how == "none" else [tool(0), tool(1)]}


def main() -> None:
    how = sys.argv[1]
    if how == "dies":
        sys.stderr.write("starting\nKeyError: 'API_KEY'\n")
        sys.exit(3)
    if how == "hangs":
        child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
        with subprocess.Popen([sys.executable, "-c", child, sys.argv[2]]):
            time.sleep(1000)
    while how == "garbage":
        print("INFO request served", flush=True)
    while how == "endless":
        sys.stdout.write("x" * 65_536)
    if how == "chatty":
        print("listening", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "initialize":
            info = {"name": "wild", "version": "1"}
            result: dict[str, object] = {
                "protocolVersion": "2025-03-26", "capabilities": {"tools": {}}, "serverInfo": info
            }  # fmt: skip
        elif message.get("method") == "tools/list":
            result = answer(how, int((message.get("params") or {}).get("cursor") or 0))
        else:
            continue
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
