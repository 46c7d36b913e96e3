"""Every backend against code that means ill. Each attack is shown to work outside first."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services.sandbox_exec import slots
from services.sandbox_exec.limits import Limits
from tests.support.attacks import ATTACKS, Attack
from tests.support.sandbox_box import Box

WIDE = Limits(wall_s=15.0, cpu_s=15.0, sessions=4)  # gVisor counts waiting for a processor, too
CANNOT = re.compile(r"\[Errno (19|38|93|95|97)\]|error\((19|38|93|95|97)")
"""What the kernel says to what it does not have: no such device, call, protocol, operation, family."""


def answering(family: int, address: Any, kind: int, token: str, stack: ExitStack) -> Any:
    """A server that says the token to whoever comes; its address, or None where it cannot be had."""
    server = stack.enter_context(socket.socket(family, kind))
    server.bind(address)
    if kind == socket.SOCK_STREAM:
        server.listen()

    def serve() -> None:
        while True:
            try:
                if kind == socket.SOCK_DGRAM:
                    _, peer = server.recvfrom(100)
                    server.sendto(token.encode(), peer)
                else:
                    one, _ = server.accept()
                    with one:
                        one.recv(100)
                        one.sendall(token.encode())
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    stack.callback(server.shutdown, socket.SHUT_RDWR) if kind == socket.SOCK_STREAM else None
    return server.getsockname()


def own_address() -> str:
    """An address of this machine that is not its loopback, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(one.getsockname()[0])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What attacks are aimed at, on this machine alone."""
    folder = tmp_path_factory.mktemp("target")
    token, mark = uuid.uuid4().hex, f"victim-{uuid.uuid4().hex}"
    secret = folder / "secret"
    secret.write_text(token)
    (folder / "kept.txt").write_text(token)
    environment = Path("/proc/self/environ").read_bytes().split(b"\0")
    with ExitStack() as stack:
        tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
        listening = {
            "dns": answering(socket.AF_INET, ("127.0.0.1", 0), udp, token, stack),
            "tcp": answering(socket.AF_INET, (own_address(), 0), tcp, token, stack),
            "gateway": answering(socket.AF_INET, ("0.0.0.0", 0), tcp, token, stack),
            "loopback": answering(socket.AF_INET, ("127.0.0.1", 0), tcp, token, stack),
            "six": answering(socket.AF_INET6, ("::1", 0), tcp, token, stack)[:2],
        }
        listening["gateway"] = (own_address(), listening["gateway"][1])
        answering(socket.AF_UNIX, f"\0tds-{token}", tcp, token, stack)
        answering(socket.AF_UNIX, str(folder / "engine.sock"), tcp, token, stack)
        yield {
            **listening,
            "outside": False,
            "token": token,
            "mark": mark,
            "secret": str(secret),
            "folder": str(folder),
            "socket": str(folder / "engine.sock"),
            "abstract": f"tds-{token}",
            "project": str(Path(slots.__file__).parent),
            "environment": next(one.decode() for one in environment if one.startswith(b"PATH=")),
            "roots": ["/", "/proc/1/root", "/proc/2/cwd"],
            "kept": "kept.txt",
        }


def victim(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", mark])


def outside(attack: Attack, target: dict[str, Any], folder: Path) -> str:
    """The control: what the same code says without a sandbox."""
    aimed = target | {"outside": True, "roots": [target["folder"]]}
    program = [sys.executable, "-c", attack.source(aimed)]
    done = subprocess.run(program, capture_output=True, cwd=folder, timeout=60, check=False)
    return (done.stdout[-2000:] + done.stderr[-2000:]).decode(errors="replace")


CONTROLS: dict[str, str] = {}
"""What each attack said outside: shown once, for all backends."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name.replace(" ", "-"))
def test_an_attack_works_outside_and_fails_inside(
    box: Box, run: str, attack: Attack, target: dict[str, Any], tmp_path: Path
) -> None:
    if attack.name not in CONTROLS:
        prey = victim(target["mark"])
        try:
            CONTROLS[attack.name] = outside(attack, target | {"victim": prey.pid}, tmp_path)
        finally:
            prey.kill()
            prey.wait()
    said = CONTROLS[attack.name]
    if "ESCAPED" not in said and CANNOT.search(said):
        pytest.skip(f"this kernel cannot do it at all: {attack.name}: {said.strip().splitlines()[-1]}")
    if os.geteuid() and "ESCAPED" not in said:
        pytest.skip(f"this user cannot do it outside: {attack.name}")
    assert "ESCAPED" in said, said
    prey = victim(target["mark"])
    try:
        time.sleep(0.05)
        if attack.name == "another run's folder":
            kept = box.call("open('kept.txt', 'w').write('mine')", run=f"{run}-other")
            assert [one.path for one in kept.files] == ["kept.txt"]
        answer = box.call(attack.source(target | {"victim": prey.pid}), run=run)
        assert "ESCAPED" not in answer.stdout, answer
        if attack.outcome:
            assert answer.outcome == attack.outcome, answer
            assert answer.session_ended
        assert prey.poll() is None
        again = box.call("print(6 * 7)", run=run)
        assert (again.outcome, again.stdout) == ("ok", "42\n"), again
    finally:
        prey.kill()
        prey.wait()
        box.over(run)
        box.over(f"{run}-other")
