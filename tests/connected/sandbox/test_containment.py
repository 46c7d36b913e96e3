"""A session keeps to itself: it leaves nothing running, reaches no other, and speaks for nobody else."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.support.sandbox_box import Box, containers, mark_of, marked

ENDLESS = """
import os, sys, time
for _ in range({many}):
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.execv({python!r}, ["python", "-c", "while True: pass", {mark!r}])
        os._exit(0)
time.sleep(0.3)
print("left behind")
"""


def test_endless_loops_in_sessions_of_their_own_end_with_their_call(box: Box, run: str) -> None:
    mark = f"endless-{uuid.uuid4().hex}"
    subprocess.run(
        [sys.executable, "-c", ENDLESS.format(python=sys.executable, mark=mark, many=3)], check=True
    )
    left = marked(mark)
    for one in left:
        os.kill(one, 9)
    assert left, "the control: outside they live on"
    mark = f"endless-{uuid.uuid4().hex}"
    box.call("import sys", run=run)
    code = ENDLESS.replace("{python!r}", "sys.executable").format(mark=mark, many=1)  # within its limit
    answer = box.call(f"import sys\n{code}", run=run)
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
    until = time.monotonic() + 10
    while not Path(f"/tmp/{mark}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.1)
    outside.terminate()
    try:
        with pytest.raises(subprocess.TimeoutExpired):  # the control: it does outlive being told to end
            outside.wait(1)
    finally:
        outside.kill()
        outside.wait()
        Path(f"/tmp/{mark}").unlink()
    assert box.call(code.format(mark=mark), run=run).outcome == "ok"
    lives = box.call("print(open('/proc/self/comm').read())", run=run)
    assert lives.stdout == f"{mark}\n\n", "it lives from call to call"
    held = held_by(box, mark)
    assert held
    box.over(run)
    assert held - held_by(box, mark)


def held_by(box: Box, mark: str) -> set[str]:
    """What of a session can be seen from outside: its container, else its process of this name."""
    if box.kind != "bubblewrap":
        return set(containers(mark_of(box.backend)))
    found = set()
    for one in Path("/proc").iterdir():
        try:
            if one.name.isdigit() and (one / "comm").read_text().strip() == mark:
                found.add(one.name)
        except OSError:
            continue
    return found


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
    stopped = box.call("import os, signal; os.kill(os.getppid(), signal.SIGSTOP); print(1)", run=run)
    assert stopped.outcome in ("timeout", "error")  # the worker is of the same user; its session ends with it
    assert box.call("1", run=run).stdout == "1\n"
    box.over(run)


LOOKING = """
import os
met = []
for path in (f"/proc/{pid}/mem", f"/proc/{pid}/cwd", f"/proc/{pid}/root"):
    try:
        os.close(os.open(path, os.O_RDONLY)); met.append(path)
    except OSError:
        pass
try:
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            met.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            pass
except OSError:
    pass
print(len(met), [one for one in met if "/null" not in one])
"""


def test_the_worker_is_closed_to_code(box: Box, run: str) -> None:
    own = box.call("import os; pid = os.getpid()\n" + LOOKING, run=run)
    assert int(own.stdout.split()[0]) > 5, "the control: an open process of the same user"
    found = box.call("import os; pid = os.getppid()\n" + LOOKING, run=run).stdout
    if box.kind == "docker-gvisor":  # it shows which files are open, but not what leads to the service
        assert "/proc/" not in found
        assert found.count("host:") == 1, "the orders; the next test writes to all it finds"
    else:
        assert found == "0 []\n"
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
    worker = f"/proc/{os.getppid()}/fd"
    while time.monotonic() < until:
        for number in range(3, 64):
            for data in (struct.pack(">I", len(body)) + body, done):
                try:
                    os.set_blocking(number, False)
                    os.write(number, data)
                except OSError:
                    pass
                try:
                    opened = os.open(f"{worker}/{number}", os.O_WRONLY | os.O_NONBLOCK)
                except OSError:
                    continue
                try:
                    os.write(opened, data)
                except OSError:
                    pass
                os.close(opened)
        time.sleep(0.001)
threading.Thread(target=flood).start()
time.sleep(0.2)
print("begun")
""".replace("\\\\n", "\\n")
    first = box.call(forge.replace("NEXT", repr(f"{run}-1")), run=run)
    assert first.call == f"{run}-0"
    assert first.stdout.endswith("begun\n")  # in gVisor it can write to its own output by the worker's table
    second = box.call("import time; time.sleep(0.5); print('real'); 1 / 0", run=run)
    # The flood may well break its own interpreter; it does not speak for the worker.
    assert second.call == f"{run}-1"
    assert second.outcome not in ("ok", "refused")
    assert '"forged"' not in second.stdout or "real" in second.stdout or second.exit_code is None
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


def test_links_in_the_work_folder_lead_nowhere(box: Box, run: str, tmp_path: Path) -> None:
    secret, token = tmp_path / "secret", uuid.uuid4().hex
    secret.write_text(token)
    digest = hashlib.sha256(token.encode()).hexdigest()
    (tmp_path / "leak").symlink_to(secret)
    assert hashlib.sha256((tmp_path / "leak").read_bytes()).hexdigest() == digest, "the control"
    code = (
        f"import os; os.symlink({str(secret)!r}, 'leak'); os.symlink('/', 'all'); open('fine', 'w').close()"
    )
    answer = box.call(code, run=run)
    assert answer.outcome == "error"
    assert "leak is a link" in answer.reason
    assert [one.path for one in answer.files] == ["fine"]
    assert digest not in answer.model_dump_json()
    box.over(run)


def test_what_runs_has_no_more_than_it_needs(box: Box, run: str) -> None:
    answer = box.call(
        "import os\nprint(os.getuid(), os.environ['HOME'], sorted(os.environ))\n"
        "status = {l.split(':')[0]: l.split(':')[1].strip() for l in open('/proc/self/status') if ':' in l}\n"
        "print({n: status[n] for n in status if n.startswith(('Cap', 'NoNew')) or n == 'Seccomp'})\n"
        "print(open('/proc/1/environ').read())",
        run=run,
    )
    user, status, first = answer.stdout.split("\n", 2)
    assert user.startswith("65534 /work ")
    held = ast.literal_eval(status)
    assert held.pop("Seccomp") == "2"
    assert held.pop("NoNewPrivs", "1") == "1"  # gVisor does not show it
    assert len(held) >= 4
    assert set(held.values()) == {"0000000000000000"}
    ours = {name for name in os.environ if name.startswith("TDS_")} | {"PYTEST_CURRENT_TEST"}
    assert not any(name in user + first for name in ours)
    if box.kind == "bubblewrap":
        assert first.strip() == ""
        assert box.call("import os; os.path.exists('/sys')", run=run).stdout == "False\n"
    box.over(run)
