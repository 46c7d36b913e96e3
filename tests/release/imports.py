"""Imports: every OpenAPI document, the wild catalog, real MCP servers over stdio and HTTP, and bad input."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.domains import labelled, validated
from tests.release.bench import API_TOOLS, Bench, Done, Findings, Skipped

DATA = API_TOOLS.parent
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
MAX_PEAK_MB = 1000.0
MIN_TOP_1, MIN_TOP_3 = 0.55, 0.75
PACKAGES = ("mcp<2", "mcp-proxy", "mcp-server-time")


def check(bench: Bench, found: Findings) -> None:
    folder = bench.place("imports")
    bad_documents(bench, folder, found)
    if not DATA.exists():
        raise Skipped(f"there is no {DATA}")
    documents(bench, folder, found)
    wild_catalog(bench, folder, found)
    accuracy = validated(labelled(DATA / "mcp_servers.jsonl.gz"))
    found.say(f"domains: top 1 {accuracy['top_1']:.3f}, top 3 {accuracy['top_3']:.3f}")
    enough = accuracy["top_1"] >= MIN_TOP_1 and accuracy["top_3"] >= MIN_TOP_3
    found.expect(enough, f"the domain classifier has {accuracy}")
    registry_servers(bench, folder, found)


def imported(bench: Bench, out: Path, *arguments: object, code: int = 0) -> tuple[Done, dict[str, Any]]:
    done = bench.tds("import", *arguments, "--out", out, "--json", timeout_s=300.0)
    if done.code != code:
        raise RuntimeError(f"tds import {arguments} ended with {done.code}: {done.tail()}")
    return done, done.json()


def documents(bench: Bench, folder: Path, found: Findings) -> None:
    _, report = imported(bench, folder / "documents.jsonl", DATA / "openapi")
    files = len(list((DATA / "openapi").glob("*.json")))
    useless = [one["source"] for one in report["sources"] if not one["usable_tools"]]
    found.say(f"{len(report['sources']) - len(useless)} of {files} documents, {report['tools']} operations")
    found.expect(len(report["sources"]) == files and not useless, f"documents without use: {useless}")
    left = [one for one in report["sources"] if one["unread"]]
    found.expect(not left, f"operations left out: {left}")


def wild_catalog(bench: Bench, folder: Path, found: Findings) -> None:
    first, again = folder / "wild.jsonl", folder / "again.jsonl"
    done, report = imported(bench, first, DATA / "mcp_servers.jsonl.gz")
    offered = report["sources"][0]["tools"]
    found.say(f"wild: {report['tools']} of {offered} tools usable, {report['recovered']} recovered")
    found.expect(report["recovered"] > 700, f"{report['recovered']} recovered")
    found.expect(done.peak_mb < MAX_PEAK_MB, f"{done.peak_mb:.0f} MB for the wild catalog")
    text = first.read_text("utf-8")
    found.expect("Try in Playground" not in text, "boilerplate is left")
    for line in text.splitlines():
        names = [tool["name"] for tool in json.loads(line)["tools"]]
        if len(set(names)) < len(names) or not all(map(NAME.match, names)):
            found.expect(False, f"names that no model API takes: {line[:100]}")
    imported(bench, again, first)
    found.expect(first.read_bytes() == again.read_bytes(), "imported again, the catalog is another")


def bad_documents(bench: Bench, folder: Path, found: Findings) -> None:
    """A document of 50 MB, 5,000 recursive operations, external references, a YAML bomb, a hanging server."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}, "name": {}}}
    ref = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    operation = {"description": "d" * 10_000, "requestBody": ref, "responses": {"200": ref}}
    large = {
        "openapi": "3.0.0",
        "info": {"title": "Large"},
        "paths": {f"/v1/r{n % 70}/a{n}": {"post": operation} for n in range(5_000)},
        "components": {"schemas": {"Node": node}},
    }
    outside = {"parameters": [{"$ref": "http://127.0.0.1:9/common.json#/limit"}]}
    mixed = {
        "openapi": "3.0.0",
        "info": {"title": "Mixed"},
        "paths": {"/bad": {"get": outside}, "/good": {"get": {}}},
    }
    bomb = "openapi: 3.0.0\na0: &a0 x\n" + "\n".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)
    )
    (folder / "large.json").write_text(json.dumps(large))
    (folder / "mixed.json").write_text(json.dumps(mixed))
    (folder / "bomb.yaml").write_text(bomb)
    hangs = shlex.join([sys.executable, "-c", "import time; time.sleep(1000)"])
    sources = [folder / name for name in ("large.json", "mixed.json", "bomb.yaml")]
    done, report = imported(bench, folder / "bad.jsonl", *sources, "--mcp", hangs, "--timeout", 2, code=1)
    found.say(f"bad input: {done.peak_mb:.0f} MB, {done.seconds:.0f} s")
    found.expect(report["tools"] == 5_001, f"{report['tools']} tools of the usable documents, not 5001")
    found.expect(done.peak_mb < MAX_PEAK_MB, f"{done.peak_mb:.0f} MB for a document of 50 MB")
    for word in ("external_reference", "nothing is fetched", "aliases", "no answer to initialize within 2 s"):
        found.expect(word in done.err + done.out, f"bad input: {word!r} is not said: {done.tail()}")
    found.expect("Traceback" not in done.err, f"bad input: a traceback: {done.tail()}")


def registry_servers(bench: Bench, folder: Path, found: Findings) -> None:
    """A server from the package registry, over stdio, and over HTTP behind a proxy from there."""
    programs = folder / "venv"
    venv.create(programs, with_pip=True)
    install = [str(programs / "bin" / "pip"), "-q", "install", *PACKAGES]
    if subprocess.run(install, check=False, capture_output=True, timeout=300).returncode:
        found.say("no package registry, so no server from there")
        return
    server = programs / "bin" / "mcp-server-time"
    _, stdio = imported(bench, folder / "stdio.jsonl", "--mcp", shlex.quote(str(server)))
    with behind_proxy(programs / "bin" / "mcp-proxy", server) as port:
        _, http = imported(bench, folder / "http.jsonl", "--mcp", f"http://127.0.0.1:{port}/mcp")
        _, sse = imported(bench, folder / "sse.jsonl", "--mcp", f"http://127.0.0.1:{port}/sse")
    counts = [one["tools"] for one in (stdio, http, sse)]
    found.say(f"{server.name}: {counts[0]} tools over stdio, {counts[1]} over HTTP, {counts[2]} over SSE")
    found.expect(counts[0] > 0 and len(set(counts)) == 1, f"{server.name}: {counts} tools")


@contextlib.contextmanager
def behind_proxy(proxy: Path, server: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(proxy), "--host", "127.0.0.1", "--port", str(port), str(server)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()
