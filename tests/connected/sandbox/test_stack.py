"""sandbox-exec as the compose stack runs it: bubblewrap within its container, and gVisor by the sidecar."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.attacks import ATTACKS
from tests.support.brokers import engine_missing
from tests.support.sandbox_box import LABEL, containers

ROOT = Path(__file__).resolve().parents[3]
BUILD_S = 900
TRIED = ("reading /etc/shadow", "a container engine's socket", "mount", "user namespaces", "becoming root")
"""Attacks that name nothing of the machine that the tests run on."""
INSIDE = """
import asyncio, json, os, sys
from schemas.sandbox import ExecuteCode
from services.sandbox_exec.choice import choose

async def main(codes):
    backend = choose()
    told = [{"announced": backend.announcement().model_dump(mode="json"), "user": os.getuid(),
             "socket": os.path.exists("/var/run/docker.sock")}]
    try:
        for number, code in enumerate(codes):
            command = ExecuteCode(run=f"r{number}", turn=1, call="a", language="python", code=code)
            told.append((await backend.execute(command, ())).model_dump(mode="json"))
            backend.let_go(command.run)
    finally:
        await backend.stop()
    print(json.dumps(told))

asyncio.run(main(json.loads(CODES)))
"""


class Stack:
    """A Compose project of a name of its own."""

    def __init__(self) -> None:
        self.name = f"tdsbox{uuid.uuid4().hex[:8]}"

    def compose(self, *words: str, given: str = "", timeout_s: float = 120) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TDS_")}
        done = subprocess.run(
            ["docker", "compose", "-p", self.name, "--profile", "gvisor", *words],
            cwd=ROOT, env=environment, input=given, capture_output=True, text=True, timeout=timeout_s,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
        return done.stdout

    def tried(self, backend: str, *codes: str) -> list[dict[str, Any]]:
        """What the service's own container says of these codes, each in a run of its own."""
        program = f"CODES = {json.dumps(list(codes))!r}\n{INSIDE}"
        told = self.compose(
            "run", "--rm", "--no-deps", "-T", "-e", f"TDS_SANDBOX={backend}", "sandbox-exec", "python", "-",
            given=program,
        )  # fmt: skip
        found: list[dict[str, Any]] = json.loads(told.splitlines()[-1])
        return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    if why := engine_missing():
        pytest.skip(f"no stack: {why}")
    made = Stack()
    made.compose("build", "--quiet", "sandbox-exec", "sandbox-code", timeout_s=BUILD_S)
    yield made
    made.compose("down", "--volumes", "--timeout", "10")
    mine = ["--all", "--quiet", "--filter", f"label=com.docker.compose.project={made.name}"]
    assert subprocess.run(["docker", "ps", *mine], capture_output=True, text=True, check=True).stdout == ""


def attacks() -> list[str]:
    target = {"outside": False, "socket": "/run/tds-sandbox/sidecar.sock"}
    return [one.source(target) for one in ATTACKS if one.name in TRIED]


@pytest.mark.slow
def test_an_unprivileged_container_without_the_engines_socket_runs_bubblewrap(stack: Stack) -> None:
    codes = ["import numpy as np\nnp.arange(5).sum()", "import os\nos.listdir('/')", *attacks()]
    first, ran, seen, *tried = stack.tried("auto", *codes)
    assert first["announced"]["backend"] == "bubblewrap", first
    assert first["announced"]["packages"]
    assert (first["user"], first["socket"]) == (10001, False)
    assert (ran["outcome"], ran["stdout"]) == ("ok", "np.int64(10)\n")
    assert "'work'" in seen["stdout"]
    assert "'run'" not in seen["stdout"]
    assert len(tried) == len(TRIED)
    for one in tried:
        assert "ESCAPED" not in one["stdout"], one


@pytest.mark.slow
def test_the_gvisor_tier_is_a_sidecar_that_alone_has_the_socket(stack: Stack) -> None:
    stack.compose("up", "--detach", "--wait", "--no-build", "sandbox-sidecar")
    codes = ["import numpy as np\nnp.arange(5).sum()", "open('/proc/version').read()", *attacks()]
    first, ran, seen, *tried = stack.tried("docker-gvisor", *codes)
    assert first["announced"]["backend"] == "docker-gvisor", first
    assert (first["user"], first["socket"]) == (10001, False)
    assert (ran["outcome"], ran["stdout"]) == ("ok", "np.int64(10)\n")
    assert "Linux version 4.4.0" in seen["stdout"], "gVisor's kernel"
    for one in tried:
        assert "ESCAPED" not in one["stdout"], one
    assert [one for one in containers() if one.startswith(f"{LABEL}-sandbox-sidecar")] == []
    stack.compose("stop", "--timeout", "10", "sandbox-sidecar")
    (refused,) = stack.tried("docker-gvisor")
    assert (refused["announced"]["backend"], refused["announced"]["safe"]) == ("none", False)
    assert "no sidecar answers" in refused["announced"]["reason"]
