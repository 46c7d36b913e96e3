"""Every sandbox backend against code that means ill. Each attack is shown to work outside first."""

from __future__ import annotations

import ast
import asyncio
import hashlib
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

from schemas.sandbox import CodeExecuted, ExecuteCode
from services.sandbox_exec import slots
from services.sandbox_exec.backend import Backend
from services.sandbox_exec.cgroups import Groups
from services.sandbox_exec.choice import choose
from services.sandbox_exec.domain import Past, answer_of
from services.sandbox_exec.limits import Limits
from tests.support.attacks import ATTACKS, Attack
from tests.support.sandbox_leaks import measured

LIMITS = Limits(wall_s=5.0, cpu_s=2.5, sessions=4)
CANNOT = re.compile(r"\[Errno (19|38|93|95|97)\]|error\((19|38|93|95|97)")
"""What the kernel says to what it does not have: no such device, call, protocol, operation, family."""
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def bubblewrap(limits: Limits) -> Backend:
    backend = choose(limits)
    told = backend.announcement()
    if told.backend != "bubblewrap":
        pytest.skip(f"no bubblewrap sandbox: {told.reason}")
    return backend


BACKENDS = {"bubblewrap": bubblewrap}


class Box:
    """A backend and the loop that it lives on; keeps of every run the calls so far."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.loop = asyncio.new_event_loop()
        self.past: dict[str, list[Past]] = {}

    def call(self, code: str, *, run: str, language: str = "python", name: str = "") -> CodeExecuted:
        return self.loop.run_until_complete(self.called(code, run=run, language=language, name=name))

    async def called(self, code: str, *, run: str, language: str = "python", name: str = "") -> CodeExecuted:
        past = self.past.setdefault(run, [])
        command = ExecuteCode(
            run=run, turn=1, call=name or f"{run}-{len(past)}", language=language, code=code
        )
        answer = await self.backend.execute(command, tuple(past))
        assert len(answer.model_dump_json()) < 1 << 20, "an answer fits a record"
        for text in (answer.stdout, answer.stderr, answer.reason, *(one.path for one in answer.files)):
            assert not UNSAFE.search(text), text
        past.append(Past(command, answer_of(answer)))
        return answer

    def over(self, run: str) -> None:
        async def wait() -> None:
            self.backend.let_go(run)
            await asyncio.sleep(0.3)

        self.loop.run_until_complete(wait())

    def close(self) -> None:
        self.loop.run_until_complete(self.backend.stop())
        self.loop.close()


def box_of(kind: str, limits: Limits) -> Box:
    return Box(BACKENDS[kind](limits))


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    made = box_of(request.param, LIMITS)
    yield made
    made.close()


@pytest.fixture
def run() -> str:
    return f"test.{uuid.uuid4().hex[:8]}"


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


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name.replace(" ", "-"))
def test_an_attack_works_outside_and_fails_inside(
    box: Box, run: str, attack: Attack, target: dict[str, Any], tmp_path: Path
) -> None:
    prey = victim(target["mark"])
    try:
        said = outside(attack, target | {"victim": prey.pid}, tmp_path)
        if "ESCAPED" not in said and CANNOT.search(said):
            pytest.skip(f"this kernel cannot do it at all: {attack.name}: {said.strip().splitlines()[-1]}")
        if os.geteuid() and "ESCAPED" not in said:
            pytest.skip(f"this user cannot do it outside: {attack.name}")
        assert "ESCAPED" in said, said
    finally:
        prey.kill()
        prey.wait()
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


def marked(mark: str) -> list[int]:
    """Processes of this machine that have the mark among their arguments."""
    found = []
    for one in Path("/proc").iterdir():
        try:
            if one.name.isdigit() and mark.encode() in (one / "cmdline").read_bytes():
                found.append(int(one.name))
        except OSError:
            continue
    return found


ENDLESS = """
import os, sys, time
for _ in range(3):
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.execv({python!r}, ["python", "-c", "while True: pass", {mark!r}])
        os._exit(0)
time.sleep(0.5)
print("left behind")
"""


def test_endless_loops_in_sessions_of_their_own_end_with_their_call(box: Box, run: str) -> None:
    mark = f"endless-{uuid.uuid4().hex}"
    subprocess.run([sys.executable, "-c", ENDLESS.format(python=sys.executable, mark=mark)], check=True)
    left = marked(mark)
    for one in left:
        os.kill(one, 9)
    assert left, "the control: outside they live on"
    mark = f"endless-{uuid.uuid4().hex}"
    box.call("import sys", run=run)
    answer = box.call(
        "import sys\n" + ENDLESS.replace("{python!r}", "sys.executable").format(mark=mark), run=run
    )
    assert (answer.outcome, answer.stdout) == ("ok", "left behind\n")
    assert marked(mark) == []
    code = (
        "import glob; print([open(one).read().split(') ')[1][0] for one in glob.glob('/proc/[0-9]*/stat')])"
    )
    alive = [one for one in ast.literal_eval(box.call(code, run=run).stdout) if one != "Z"]
    assert len(alive) == 3, "the first process, the worker and the interpreter"
    box.over(run)


def test_a_real_fork_bomb_is_a_limit_of_processes(box: Box, run: str) -> None:
    answer = box.call("f() { f | f & f; }; f", language="bash", run=run)
    assert answer.outcome == "process_limit"
    assert answer.session_ended
    assert box.call("1 + 1", run=run).stdout == "2\n"


def test_a_session_does_not_outlive_its_run(box: Box, run: str) -> None:
    code = """
import os, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)
threading.Thread(target=lambda: time.sleep(1000), daemon=False).start()
open("{mark}", "w").write("x")
import ctypes; ctypes.CDLL(None).prctl(15, b"{mark}", 0, 0, 0)
"""
    mark = f"o{uuid.uuid4().hex[:12]}"
    outside = subprocess.Popen([sys.executable, "-c", code.format(mark=f"/tmp/{mark}")])
    time.sleep(0.3)
    outside.terminate()
    try:
        with pytest.raises(subprocess.TimeoutExpired):  # the control: it does outlive being told to end
            outside.wait(1)
    finally:
        outside.kill()
        outside.wait()
        Path(f"/tmp/{mark}").unlink()
    assert box.call(code.format(mark=mark), run=run).outcome == "ok"

    def named() -> list[str]:
        found = []
        for one in Path("/proc").iterdir():
            try:
                if one.name.isdigit() and (one / "comm").read_text().strip() == mark:
                    found.append(one.name)
            except OSError:
                continue
        return found

    assert named(), "it lives from call to call"
    box.over(run)
    assert not named()


def test_a_session_does_not_reach_another(box: Box, run: str) -> None:
    listen = """
import os, socket, threading
server = socket.socket(socket.AF_UNIX); server.bind(b"\\0meeting"); server.listen()
open("/tmp/left", "w").write("x"); open("/dev/shm/left", "w").write("x")
"""
    reach = """
import os, socket
met = [path for path in ("/tmp/left", "/dev/shm/left", "/work/left") if os.path.exists(path)]
try:
    one = socket.socket(socket.AF_UNIX); one.connect(b"\\0meeting"); met.append("socket")
except OSError:
    pass
print(met, len([n for n in os.listdir("/proc") if n.isdigit()]))
"""
    box.call(listen, run=run)
    assert box.call(reach, run=run).stdout == "['/tmp/left', '/dev/shm/left', 'socket'] 3\n", "the control"
    assert box.call(reach, run=f"{run}-other").stdout == "[] 3\n"
    box.over(run)
    box.over(f"{run}-other")


def test_a_reader_is_not_stalled(box: Box, run: str) -> None:
    holding = ["bash", "-c", "sleep 60 & echo held"]
    with pytest.raises(subprocess.TimeoutExpired):  # the control: whoever reads to the end, waits
        subprocess.run(holding, capture_output=True, timeout=1, check=False)
    began = time.monotonic()
    answer = box.call("sleep 60 & echo held", language="bash", run=run)
    assert (answer.outcome, answer.stdout) == ("ok", "held\n")
    assert time.monotonic() - began < 5
    stopped = box.call("import os, signal; os.kill(2, signal.SIGSTOP); print('stopped')", run=run)
    assert stopped.outcome in ("timeout", "error")  # the worker is of the same user; its session ends with it
    assert box.call("1", run=run).stdout == "1\n"
    box.over(run)


LOOKING = """
import os
met = []
for path in (f"/proc/{pid}/mem", f"/proc/{pid}/environ"):
    try:
        open(path, "rb").close(); met.append(path)
    except OSError:
        pass
try:
    met += os.listdir(f"/proc/{pid}/fd")
except OSError:
    pass
print(len(met))
"""


def test_the_worker_is_closed_to_code(box: Box, run: str) -> None:
    own = box.call("import os; pid = os.getpid()\n" + LOOKING, run=run)
    assert int(own.stdout) > 2, "the control: an open process of the same user"
    assert box.call("pid = 2\n" + LOOKING, run=run).stdout == "0\n"
    assert box.call("pid = 1\n" + LOOKING, run=run).outcome == "ok"
    box.over(run)


def test_code_cannot_answer_for_a_later_call(box: Box, run: str) -> None:
    """It writes what an answer looks like to every pipe that it has, now and during the next call."""
    forge = """
import json, os, struct, threading, time
def flood():
    body = json.dumps({"call": NEXT, "outcome": "ok", "exit_code": 0, "reason": "", "stdout": "forged",
        "stderr": "", "stdout_bytes": 6, "stderr_bytes": 0, "files": [], "cpu_s": 0, "wall_s": 0,
        "peak_bytes": 1, "stdout_truncated": False, "stderr_truncated": False}).encode()
    done = json.dumps({"token": "0" * 32, "exit": 0, "kind": "", "errno": None}).encode() + b"\\n"
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        for number in range(3, 64):
            for data in (struct.pack(">I", len(body)) + body, done):
                try:
                    os.set_blocking(number, False)
                    os.write(number, data)
                except OSError:
                    pass
        time.sleep(0.001)
threading.Thread(target=flood).start()
time.sleep(0.2)
print("begun")
""".replace("\\\\n", "\\n")
    first = box.call(forge.replace("NEXT", repr(f"{run}-1")), run=run)
    assert (first.call, first.stdout) == (f"{run}-0", "begun\n")
    second = box.call("import time; time.sleep(0.5); print('real'); 1 / 0", run=run)
    # The flood may well break its own interpreter; it does not speak for the worker.
    assert second.call == f"{run}-1"
    assert second.outcome not in ("ok", "refused")
    assert second.stdout in ("real\n", "")
    box.over(run)


def test_terminals_are_not_obeyed(box: Box, run: str) -> None:
    code = "import sys; print('\\x1b[2Jclear\\r\\x07\\x9b'); sys.stderr.write('\\x1b]0;title\\x07')\n"
    raw = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "\x1b" in raw.stdout, "the control"
    answer = box.call(code + "open('a\\x1b[2J', 'w').close()", run=run)
    assert answer.stdout == "\\x1b[2Jclear\\x0d\\x07\\x9b\n"
    assert answer.stderr == "\\x1b]0;title\\x07"
    assert [one.path for one in answer.files] == ["a\\x1b[2J"]
    box.over(run)


def test_links_in_the_work_folder_lead_nowhere(
    box: Box, run: str, target: dict[str, Any], tmp_path: Path
) -> None:
    secret = hashlib.sha256(target["token"].encode()).hexdigest()
    (tmp_path / "leak").symlink_to(target["secret"])
    assert hashlib.sha256((tmp_path / "leak").read_bytes()).hexdigest() == secret, "the control"
    link = f"os.symlink({target['secret']!r}, 'leak')"
    code = f"import os; {link}; os.symlink('/', 'all'); open('fine', 'w').close()"
    answer = box.call(code, run=run)
    assert answer.outcome == "error"
    assert "leak is a link" in answer.reason
    assert [one.path for one in answer.files] == ["fine"]
    assert secret not in answer.model_dump_json()
    box.over(run)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        ("mkfifo result", "result is a FIFO"),
        ("ln -s /etc/passwd result", "result is a link"),
        ("python3.11 -c 'import socket; socket.socket(1).bind(\"result\")'", "result is a socket"),
    ],
)
def test_a_result_that_is_no_file_is_an_error(box: Box, run: str, make: str, told: str) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    answer = box.call(make.replace("python3.11", version), language="bash", run=run)
    assert answer.outcome == "error"
    assert told in answer.reason
    after = box.call("1 + 1", run=run)
    assert (after.outcome, after.stdout) == ("ok", "2\n")
    box.over(run)


@pytest.mark.parametrize(
    ("code", "language", "told"),
    [
        ("print('\ud800')", "python", "no Unicode text"),
        ("x" * 10_000_000, "python", "10000000 bytes, of at most"),
        ("print(1)\0", "python", "a NUL character"),
        ("echo 1\0", "bash", "a NUL character"),
        ("1", "cobol", "unknown language 'cobol': write python or bash"),
        ("", "python", "holds no code"),
        ("  \n\t", "bash", "holds no code"),
    ],
    ids=["half a surrogate", "10 MB", "NUL", "NUL in bash", "language", "empty", "blank"],
)
def test_bad_calls_are_refused_with_what_to_do(
    box: Box, run: str, code: str, language: str, told: str
) -> None:
    # Made without the checks that already keep most of this from a log.
    command = ExecuteCode.model_construct(run=run, turn=1, call="a", language=language, code=code)
    answer = box.loop.run_until_complete(box.backend.execute(command, ()))
    assert answer.outcome == "refused"
    assert told in answer.reason


def test_bytes_that_are_no_text_are_shown(box: Box, run: str) -> None:
    answer = box.call("printf '\\xff\\xfe ok\\n'; exit 3", language="bash", run=run)
    assert (answer.outcome, answer.exit_code) == ("error", 3)
    assert answer.stdout == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} ok\n"
    assert answer.stdout_bytes == 6
    box.over(run)


def test_an_interpreter_that_is_missing_is_told(box: Box, run: str) -> None:
    answer = box.call("fortran77 prog.f", language="bash", run=run)
    assert (answer.outcome, answer.exit_code) == ("error", 127)
    assert "command not found" in answer.stderr
    box.over(run)


def test_variables_and_files_live_from_call_to_call(box: Box, run: str) -> None:
    box.call("import numpy as np\ntotals = np.arange(5)", run=run)
    answer = box.call("open('totals.txt', 'w').write(str(totals.sum())); totals.sum() + 1", run=run)
    assert (answer.outcome, answer.exit_code, answer.stdout) == ("ok", 0, "np.int64(11)\n")
    (made,) = answer.files
    assert (made.path, made.size_bytes, made.sha256) == ("totals.txt", 2, hashlib.sha256(b"10").hexdigest())
    assert answer.wall_s > 0
    assert answer.peak_bytes > 1 << 20
    assert box.call("cat totals.txt; rm totals.txt", language="bash", run=run).stdout == "10"
    failed = box.call("print('so far')\ntotals.nothing", run=run)
    assert (failed.outcome, failed.exit_code, failed.stdout) == ("error", 1, "so far\n")
    assert "AttributeError" in failed.stderr
    assert box.call("totals.sum()", run=run).stdout == "np.int64(10)\n"
    box.over(run)


def test_long_output_is_cut_and_counted(box: Box, run: str) -> None:
    answer = box.call("print('y' * 1_000_000)", run=run)
    assert answer.outcome == "ok"
    assert (answer.stdout_bytes, answer.stdout_truncated, answer.stderr_truncated) == (1_000_001, True, False)
    assert len(answer.stdout) == LIMITS.kept_bytes
    box.over(run)


@pytest.mark.parametrize(
    ("code", "language", "outcome"),
    [
        ("import time; time.sleep(100)", "python", "timeout"),
        ("sleep 100", "bash", "timeout"),
        ("while True: pass", "python", "cpu_limit"),
        ("while :; do :; done", "bash", "cpu_limit"),
        ("open('big', 'wb').write(bytes(100 << 20))", "python", "disk_limit"),
        ("import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=[9]).start()",
         "python", "process_limit"),
        ("head -c 100000000 /dev/zero > big", "bash", "disk_limit"),
        ("yes", "bash", "output_limit"),
        ("import os; os.kill(os.getpid(), 9)", "python", "error"),
        ("kill -9 -1", "bash", "error"),
    ],
)  # fmt: skip
def test_each_limit_is_an_outcome_of_its_own(
    box: Box, run: str, code: str, language: str, outcome: str
) -> None:
    answer = box.call(code, language=language, run=run)
    assert answer.outcome == outcome, answer
    assert box.call("40 + 2", run=run).stdout == "42\n"
    box.over(run)


def test_a_call_seen_twice_runs_once(box: Box, run: str) -> None:
    first = box.call("import random; random.random()", run=run, name="once")
    box.past[run].clear()
    assert box.call("import random; random.random()", run=run, name="once") == first
    box.over(run)


def test_a_lost_session_is_made_anew_by_its_calls(box: Box, run: str) -> None:
    box.call("kept = [1]", run=run)
    box.call("kept.append(2); open('f', 'w').write('x')", run=run)
    assert box.call("import time; time.sleep(100)", run=f"{run}-slow").session_ended
    box.over(run)
    answer = box.call("print(kept, open('f').read())", run=run)
    assert (answer.outcome, answer.stdout, answer.diverged) == ("ok", "[1, 2] x\n", False)
    after = box.call("print('anew')", run=f"{run}-slow")
    assert (after.outcome, after.stdout) == ("ok", "anew\n"), "what ended a session is not run again"
    box.over(run)
    box.over(f"{run}-slow")


def test_a_lost_session_that_does_otherwise_is_told(box: Box, run: str) -> None:
    box.call("import os; print(os.urandom(8).hex())", run=run)
    box.over(run)
    answer = box.call("1", run=run)
    assert (answer.outcome, answer.diverged) == ("refused", True)
    assert "gave another result" in answer.reason
    box.over(run)


def test_sessions_are_bounded_and_made_anew(box: Box, run: str) -> None:
    runs = [f"{run}-{number}" for number in range(LIMITS.sessions + 3)]
    for one in runs:
        box.call(f"mine = {one!r}", run=one)
    assert [box.call("print(mine)", run=one).stdout for one in runs] == [f"{one}\n" for one in runs]
    for one in runs:
        box.over(one)


def test_idle_sessions_end_and_nothing_is_left_when_it_stops() -> None:
    box = box_of("bubblewrap", Limits(idle_s=0.4))
    try:
        box.call("x = 1", run="idle")
        assert box.backend.sessions == 1
        box.loop.run_until_complete(asyncio.sleep(1.2))
        assert box.backend.sessions == 0
        assert box.call("print(x)", run="idle").stdout == "1\n"
        users = box.backend.jailer.users
    finally:
        box.close()
    assert slots.processes(users) == []


def test_what_runs_has_no_more_than_it_needs(box: Box, run: str) -> None:
    answer = box.call(
        "import os\nprint(sorted(os.listdir('/')), os.getuid(), dict(os.environ).get('HOME'))\n"
        "print([l for l in open('/proc/self/status') if l.startswith(('Cap', 'NoNew', 'Seccomp:'))])\n"
        "print(open('/proc/1/environ', 'rb').read(), 'sys' if os.path.exists('/sys') else 'no sys')",
        run=run,
    )
    assert "65534 /work" in answer.stdout
    assert "'NoNewPrivs:\\t1\\n', 'Seccomp:\\t2\\n'" in answer.stdout
    assert answer.stdout.count("\\t0000000000000000\\n") == 5
    assert answer.stdout.endswith("b'' no sys\n")
    box.over(run)


def test_nothing_is_left_over_after_many_runs_and_kills() -> None:
    box_of("bubblewrap", LIMITS).close()
    found = asyncio.run(measured(runs=100, kills=50, seed=1))
    assert {kind: after for kind, (before, after) in found.items() if after > before} == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives sandboxes user ids of their own")
def test_what_a_dead_service_left_is_reaped_at_the_next_start() -> None:
    box_of("bubblewrap", LIMITS).close()
    last = slots.FIRST + slots.BLOCK * slots.BLOCKS - 1
    left = subprocess.Popen(
        ["setpriv", "--reuid", str(last), "--regid", str(last), "--clear-groups", "sleep", "300"]
    )
    groups = Groups.here()
    group = None
    try:
        until = time.monotonic() + 5
        while left.pid not in slots.processes(range(last, last + 1)) and time.monotonic() < until:
            time.sleep(0.01)
        if groups is not None:
            group = groups.make(str(last), memory_bytes=1 << 26, processes=5)
            group.add(left.pid)
        box_of("bubblewrap", LIMITS).close()
        assert left.wait(5) == -9
        assert group is None or not any(folder.exists() for folder in group.folders.values())
    finally:
        left.kill()
        left.wait()


def test_a_service_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    bubblewrap(LIMITS).announcement()
    mark = f"orphan-{uuid.uuid4().hex}"
    code = f"""
import asyncio
from schemas.sandbox import ExecuteCode
from services.sandbox_exec.choice import choose
async def main():
    code = 'import os; os.fork() or (os.setsid(), os.execv("/usr/bin/sleep", ["{mark}", "300"])); os.wait()'
    await choose().execute(ExecuteCode(run="r", turn=1, call="a", language="python", code=code), ())
asyncio.run(main())
"""
    service = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 20
    while not marked(mark)[1:] and time.monotonic() < until:
        time.sleep(0.05)
    inside = [one for one in marked(mark) if one != service.pid]
    service.kill()
    service.wait()
    assert inside
    until = time.monotonic() + 5
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.02)
    assert marked(mark) == []
