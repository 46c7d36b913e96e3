"""Running MCP servers are asked for their tools, over stdio and HTTP; bad ones are given up, and are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from schemas.catalog import ImportServer
from services.console.catalog_entries import BadEntry, Ids
from services.console.errors import UserError
from services.console.mcp_live import read_server
from services.console.mcp_transports import Limits
from tests.support.server_process import listening

ROOT = Path(__file__).resolve().parents[2]
SHOP = f"{shlex.quote(sys.executable)} -m tests.support.mcp_shop"
QUICK = Limits(start_s=2.0, page_s=2.0)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # servers get no PYTHONPATH: their modules are found where they are started


def wild(how: str, *more: str) -> str:
    return shlex.join([sys.executable, "-m", "tests.support.mcp_wild", how, *more])


def read(source: str, limits: Limits | None = None, **more) -> tuple[list[ImportServer], list[BadEntry]]:
    found = read_server(source, ids=Ids(), limits=limits, **more)
    good = [one for one in found if isinstance(one, ImportServer)]
    return good, [one for one in found if isinstance(one, BadEntry)]


def only_bad(source: str, limits: Limits = QUICK) -> BadEntry:
    good, bad = read(source, limits)
    assert not good
    assert len(bad) == 1
    assert bad[0].advice
    return bad[0]


def test_a_server_is_started_and_asked():
    (server,), bad = read(SHOP)
    assert not bad
    assert (server.server_id, server.server["description"]) == ("shop", "Orders of a small shop")
    tools = {tool["name"]: tool for tool in server.server["tools"]}
    assert tools["cancel_order"]["inputSchema"]["required"] == ["order_id", "reason"]
    assert tools["list_orders"]["annotations"]["readOnlyHint"] is True
    assert tools["list_orders"]["outputSchema"]["type"] == "object"


def test_a_started_server_sees_only_the_variables_that_are_passed_on():
    environ = {**os.environ, "MCP_TEST_PASSED": "1"}
    (server,), _ = read(SHOP, environ=environ)
    assert "env_hidden" in [tool["name"] for tool in server.server["tools"]]
    (server,), _ = read(SHOP, environ=environ, pass_on=["MCP_TEST_PASSED"])
    assert "env_seen" in [tool["name"] for tool in server.server["tools"]]
    with pytest.raises(UserError, match="no such variable"):
        read(SHOP, environ=environ, pass_on=["MCP_TEST_OTHER"])


@contextlib.contextmanager
def shop_over(transport: str) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.support.mcp_shop", transport, str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "path"), [("streamable-http", "mcp"), ("sse", "sse")])
def test_a_server_is_asked_over_http_and_its_secrets_are_not_told(transport, path):
    with shop_over(transport) as port:
        (server,), bad = read(f"http://me:secret@127.0.0.1:{port}/{path}?key=secret")
        assert not bad
        assert [tool["name"] for tool in server.server["tools"]][:2] == ["list_orders", "cancel_order"]
        assert server.origin == f"http://127.0.0.1:{port}/{path}"
        assert "Not Found" in only_bad(f"http://127.0.0.1:{port}/nothing").reason


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" " * 65_536)
    return response


async def web_page(request: web.Request) -> web.Response:
    return web.Response(text="<html>Welcome</html>", content_type="text/html")


async def silence(request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "codes"),
    [
        (endless, ("too_large", "no_answer")),
        (web_page, ("no_answer",)),
        pytest.param(silence, ("timeout", "no_answer"), marks=pytest.mark.slow),
    ],
)
def test_what_is_no_mcp_server_over_http_is_given_up(handler, codes):
    async def ask() -> BadEntry:
        app = web.Application()
        app.router.add_route("*", "/v1/mcp", handler)
        async with listening(app) as base:
            return await asyncio.to_thread(
                only_bad, f"{base}/mcp", Limits(start_s=4.0, page_s=4.0, size_bytes=1_000_000)
            )

    assert asyncio.run(ask()).code in codes


def test_nothing_listens():
    assert "cannot be reached" in only_bad("http://127.0.0.1:9/mcp").reason


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("dies", "no_answer", ("ended", "before it answered initialize", "KeyError: 'API_KEY'")),
        ("garbage", "garbage", ("100 lines", "INFO request served")),
        ("dies_listing", "no_answer", ("before it answered tools/list",)),
        ("hangs_listing", "timeout", ("no answer to tools/list within 2 s",)),
        ("no_list", "no_answer", ("no list of tools",)),
        ("none", "no_tools", ("lists no tools",)),
        pytest.param("endless", "timeout", ("no answer to initialize within 2 s",), marks=pytest.mark.slow),
    ],
)
def test_a_bad_server_is_given_up_with_its_reason(how, code, words):
    bad = only_bad(wild(how))
    assert bad.code == code
    for word in words:
        assert word in bad.reason


@pytest.mark.slow
def test_an_answer_that_is_too_large_is_not_taken():
    bad = only_bad(wild("large"), Limits(size_bytes=1_000_000))
    assert bad.code == "too_many"
    assert "1000000 bytes" in bad.reason


@pytest.mark.slow
def test_a_server_that_hangs_is_gone_afterwards_with_its_children():
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    bad = only_bad(wild("hangs", mark))
    assert bad.code == "timeout"
    assert "no answer to initialize within 2 s" in bad.reason
    assert not processes_with(mark)


def processes_with(mark: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in place.read_bytes():
                found.append(str(place))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_leaves_no_server_behind(number, tmp_path):
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    out = tmp_path / "catalog.jsonl"
    arguments = ["import", "--mcp", wild("hangs", mark), "--out", str(out), "--timeout", "60"]
    code = "import sys; from services.console.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while len(processes_with(mark)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(processes_with(mark)) >= 3, "the command, the server, and its child"
        process.send_signal(number)
        assert process.wait(30) == 130
    assert not processes_with(mark)
    assert not out.exists()


@pytest.mark.parametrize("how", ["ten_thousand", "pages"])
def test_ten_thousand_tools_are_cut_and_come_as_several_servers(how):
    good, bad = read(wild(how))
    assert [len(one.server["tools"]) for one in good] == [500, 500, 500, 500]
    assert len({one.server_id for one in good}) == 4
    names = [tool["name"] for one in good for tool in one.server["tools"]]
    assert names == [f"tool_{number}" for number in range(2_000)]
    assert [one.code for one in bad] == ["too_many"]
    assert "more than 2000 tools" in bad[0].reason


def test_pages_that_lead_in_a_circle_end():
    (server,), bad = read(wild("loop"))
    assert len(server.server["tools"]) == 2
    assert "same next page" in bad[0].reason


def test_wild_tools_come_as_they_are_and_cost_no_others():
    (server,), _ = read(wild("wild"))
    assert len(server.server["tools"]) == 5


def test_a_line_that_is_no_message_is_told_and_does_no_harm():
    (server,), bad = read(wild("chatty"))
    assert len(server.server["tools"]) == 2
    assert "listening" in bad[0].reason


@pytest.mark.parametrize("source", ["/no/such/program --now", str(ROOT)])
def test_what_cannot_be_started_says_so(source):
    bad = only_bad(source)
    assert "cannot be started" in bad.reason


@pytest.mark.parametrize("source", ["", "   ", "run 'unclosed"])
def test_a_command_that_makes_no_sense_is_refused(source):
    with pytest.raises(UserError, match="--mcp"):
        read(source)


def test_nothing_is_expanded_by_a_shell(tmp_path):
    made = tmp_path / "made"
    read(f"{shlex.quote(sys.executable)} -c pass ; touch {made}", QUICK)
    assert not made.exists()
