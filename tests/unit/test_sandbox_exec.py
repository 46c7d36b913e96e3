"""sandbox-exec: given these events, when it steps, then these events."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from schemas.envelope import Message
from schemas.run import RunFailed, RunFinished, RunStarted, Verdict
from schemas.sandbox import CodeExecuted, ExecuteCode, SandboxAnnounced
from schemas.topics import SANDBOX_COMMANDS
from services.kit.service import Closed, Draft, Wait
from services.sandbox_exec import seccomp
from services.sandbox_exec.app import service
from services.sandbox_exec.backend import ADVICE
from services.sandbox_exec.bwrap_jail import command as jail_command
from services.sandbox_exec.choice import choose
from services.sandbox_exec.domain import Answer, Execute, Past, alive, answer_of
from services.sandbox_exec.jail import JailFailed
from services.sandbox_exec.text import visible
from tests.support.solo import Solo

RUN = "c.3.1"


def command(call: str = "a", code: str = "print(1)", turn: int = 2) -> ExecuteCode:
    return ExecuteCode(run=RUN, turn=turn, call=call, language="python", code=code)


def finished() -> RunFinished:
    return RunFinished(
        run=RUN,
        campaign="c",
        generation=0,
        slot=3,
        attempt=1,
        verdict=Verdict(passed=True),
        actions=(),
        content_hash="h",
    )


def failed() -> RunFailed:
    return RunFailed(
        run=RUN, campaign="c", generation=0, slot=3, attempt=1, content=True, attribution="user", code="x"
    )


class Echo:
    """Answers with the code, and with how many calls the session has seen before."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def announcement(self) -> SandboxAnnounced:
        return SandboxAnnounced(backend="echo", safe=True, languages=("python",))

    async def execute(self, command: ExecuteCode, earlier: Sequence[Past]) -> CodeExecuted:
        self.seen.append(command.call)
        stdout = f"{command.code} after {','.join(one.command.call for one in earlier)}"
        return CodeExecuted(
            run=command.run, turn=command.turn, call=command.call, outcome="ok", stdout=stdout
        )

    def let_go(self, run: str) -> None:
        self.seen.append(f"{run} is over")

    async def stop(self) -> None:
        self.seen.append("stopped")


class Broken(Echo):
    """Raises, always."""

    def __init__(self, text: str = "the jail is gone") -> None:
        super().__init__()
        self.text = text

    async def execute(self, command: ExecuteCode, earlier: Sequence[Past]) -> CodeExecuted:
        self.seen.append(command.call)
        raise RuntimeError(self.text)


def test_without_a_backend_it_announces_that_code_is_refused() -> None:
    made = service()
    (draft,) = made.announce
    assert draft == Draft("none", SandboxAnnounced(backend="none", safe=False, reason=ADVICE))
    assert made.lead == SANDBOX_COMMANDS


def test_without_a_backend_code_is_refused_with_the_reason() -> None:
    solo = Solo(service(), RUN)
    assert solo.step == Wait("a call")
    (answer,) = solo.given(command()).play()
    assert answer == CodeExecuted(run=RUN, turn=2, call="a", outcome="refused", reason=ADVICE)
    assert solo.step == Wait("a call")
    assert solo.given(finished()).closed


def test_a_backend_is_announced_and_asked() -> None:
    backend = Echo()
    made = service(backend)
    assert made.announce[0].key == "echo"
    (answer,) = Solo(made, RUN).given(command()).play()
    assert isinstance(answer, CodeExecuted)
    assert (answer.outcome, answer.stdout, answer.turn) == ("ok", "print(1) after ", 2)


def test_calls_are_answered_in_order_each_with_the_session_before_it() -> None:
    backend = Echo()
    solo = Solo(service(backend), RUN).given(command("a"), command("b"), command("c"))
    assert solo.effect == Execute(command("a"), ())
    answers = [one.stdout for one in solo.play() if isinstance(one, CodeExecuted)]
    assert answers == ["print(1) after ", "print(1) after a", "print(1) after a,b"]
    solo.given(command("d", turn=7))
    assert isinstance(solo.effect, Execute)
    assert solo.effect.command == command("d", turn=7)
    assert [past.command for past in solo.effect.earlier] == [command("a"), command("b"), command("c")]
    assert [past.answer for past in solo.effect.earlier] == [
        answer_of(one.data) for one in solo.log if isinstance(one.data, CodeExecuted)
    ]
    solo.play()
    assert backend.seen == ["a", "b", "c", "d"]


@pytest.mark.parametrize("between", [False, True])
def test_a_command_seen_twice_is_answered_once(between: bool) -> None:
    backend = Echo()
    solo = Solo(service(backend), RUN).given(command("a"))
    if between:
        solo.play()
    solo.given(command("a")).play()
    solo.given(command("a", code="print(2)")).play()  # a rival's: the call is answered
    assert backend.seen == ["a"]


def test_an_answer_may_be_read_before_its_command() -> None:
    """After a restart the topics are read in any order."""
    answer = CodeExecuted(run=RUN, turn=2, call="a", outcome="ok")
    backend = Echo()
    solo = Solo(service(backend), RUN).given(answer, command("a"))
    assert solo.step == Wait("a call")
    solo.given(command("b")).play()
    assert backend.seen == ["b"]


@pytest.mark.parametrize("end", [finished(), failed()])
@pytest.mark.parametrize("early", [False, True])
def test_an_ended_run_closes_whatever_is_open(end: Message, early: bool) -> None:
    backend = Echo()
    events: list[Message] = [end, command("a")] if early else [command("a"), end]
    solo = Solo(service(backend), RUN).given(*events)
    assert solo.step == Closed()
    assert solo.play() == []
    assert backend.seen == []


def test_events_of_the_run_that_end_nothing_do_nothing() -> None:
    solo = Solo(service(), RUN).given(RunStarted(run=RUN, campaign="c", blueprint_event="e"))
    assert solo.step == Wait("a call")


def test_a_backend_that_raises_refuses_with_the_reason_and_goes_on() -> None:
    backend = Broken()
    solo = Solo(service(backend), RUN).given(command("a"), command("b"))
    first, second = solo.play()
    assert isinstance(first, CodeExecuted)
    assert isinstance(second, CodeExecuted)
    assert (first.outcome, first.call, second.call) == ("refused", "a", "b")
    assert "the jail is gone" in first.reason
    assert backend.seen == ["a"] * 3 + ["b"] * 3


def test_a_backend_that_raises_a_book_is_cut_short() -> None:
    (answer,) = Solo(service(Broken("x" * 3_000_000)), RUN).given(command("a")).play()
    assert isinstance(answer, CodeExecuted)
    assert answer.outcome == "refused"
    assert len(answer.reason) <= 2000


def past(call: str, **more: object) -> Past:
    fields = {"outcome": "ok", "run": RUN, "turn": 1, "call": call} | more
    return Past(command(call), answer_of(CodeExecuted.model_validate(fields)))


def test_two_answers_are_alike_where_the_calls_did_the_same() -> None:
    one = CodeExecuted(run=RUN, turn=1, call="a", outcome="ok", stdout="4", wall_s=1.0, peak_bytes=5)
    same = one.model_copy(update={"wall_s": 2.0, "cpu_s": 1.0, "peak_bytes": 9})
    assert answer_of(one) == answer_of(same) == Answer("a", True, answer_of(one).fingerprint, False)
    for update in ({"stdout": "5"}, {"outcome": "error"}, {"exit_code": 1}, {"stdout_bytes": 7}):
        assert answer_of(one.model_copy(update=update)).fingerprint != answer_of(one).fingerprint


def test_what_a_session_holds_is_made_by_what_was_run_since_it_began_anew() -> None:
    calls = (
        past("a"),
        past("b", outcome="timeout", session_ended=True),
        past("c"),
        past("d", outcome="refused"),
        past("e", outcome="error"),
    )
    assert [one.command.call for one in alive(calls)] == ["c", "e"]
    assert alive(calls[:2]) == ()


def test_a_backend_hears_of_a_run_that_is_over() -> None:
    backend = Echo()
    made = service(backend)
    made.let_go(RUN)
    assert backend.seen == [f"{RUN} is over"]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose path has nothing but what is put into this folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    return tmp_path


def program(folder: Path, name: str, text: str = "#!/bin/sh\nexit 0\n") -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def refusal() -> str:
    told = choose().announcement()
    assert (told.backend, told.safe) == ("none", False)
    return told.reason


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux lacks is told on Linux")
def test_a_machine_without_bubblewrap_refuses_and_says_what_to_install(bare: Path) -> None:
    assert "apt install bubblewrap" in refusal()
    program(bare, "bwrap", "#!/bin/sh\necho bubblewrap 0.4.1\n")
    program(bare, "setpriv")
    assert "bubblewrap 0.8 or newer is needed, and this says 'bubblewrap 0.4.1'" in refusal()


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux lacks is told on Linux")
def test_a_bubblewrap_that_does_not_work_is_no_backend(bare: Path) -> None:
    said = (
        '#!/bin/sh\nif [ "$1" = --version ]; then echo bubblewrap 0.11.0; else echo no luck >&2; exit 1; fi\n'
    )
    program(bare, "bwrap", said)
    program(bare, "setpriv", "#!/bin/sh\necho no luck >&2; exit 1\n")
    told = refusal()
    assert told.startswith(
        "code is not run: bubblewrap does not work here: no luck; docker-gvisor: no container"
    )


def test_root_that_cannot_become_another_refuses(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.platform", "linux")
    program(bare, "bwrap", "#!/bin/sh\necho bubblewrap 0.11.0\n")
    assert "setpriv is needed" in refusal()


@pytest.mark.usefixtures("bare")
def test_another_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert "bubblewrap needs Linux, and this is darwin" in refusal()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("TDS_SANDBOX", "none", "code is not run: TDS_SANDBOX=none"),
        (
            "TDS_SANDBOX",
            "chroot",
            "code is not run: TDS_SANDBOX=chroot: Input should be 'auto', 'bub",
        ),
        ("TDS_SANDBOX", "docker-runc", "code is not run: docker-runc: no container engine answers"),
        ("TDS_SANDBOX", "bubblewrap", "code is not run: bubblewrap is missing"),
        ("TDS_SANDBOX_MEMORY_MB", "1", "code is not run: TDS_SANDBOX_MEMORY_MB=1: Input should be greater"),
    ],
)
def test_what_is_asked_for_and_cannot_be_had_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    assert refusal().startswith(told)


def test_a_sidecar_that_does_not_answer_is_no_backend(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDS_SANDBOX", "docker-gvisor")
    monkeypatch.setenv("TDS_SANDBOX_SIDECAR", str(bare / "none.sock"))
    assert "no sidecar answers at" in refusal()


def test_bubblewrap_is_never_given_to_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(JailFailed, match="never run as root"):
        jail_command(None, 3, ["true"])
    assert jail_command(1234, 3, ["true"])[1:5] == ["--reuid", "1234", "--regid", "1234"]


def verdict(
    filter_: bytes, number: int, *, machine: int = 0xC000003E, first: int = 0, second: int = 0, third: int = 0
) -> int:
    """What the filter says to a call: classic BPF, interpreted."""
    data = struct.pack("=IIQQQQQQQ", number, machine, 0, first, second, third, 0, 0, 0)
    lines = list(struct.iter_unpack("=HBBI", filter_))
    place = loaded = 0
    while True:
        code, yes, no, value = lines[place]
        place += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            place += yes if holds else no


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"number": 0}, 0x7FFF0000),
        ({"number": 101}, 0x00050001),  # ptrace
        ({"number": 450}, 0x00050001),
        ({"number": 451}, 0x00050026),  # unknown
        ({"number": 0x40000000}, 0x00050026),  # x32
        ({"number": 435}, 0x00050026),  # clone3
        ({"number": 56, "first": 0x11}, 0x7FFF0000),  # clone as fork does it
        ({"number": 56, "first": 0x10000011}, 0x00050001),  # with a user namespace
        ({"number": 41, "first": 1}, 0x7FFF0000),  # a Unix socket
        ({"number": 41, "first": 2}, 0x00050061),
        ({"number": 53, "first": 40}, 0x00050061),
        ({"number": 16, "second": 0x5401}, 0x7FFF0000),
        ({"number": 16, "second": 0x5412}, 0x00050001),  # TIOCSTI
        ({"number": 133, "second": 0x21B6}, 0x00050001),  # a character device
        ({"number": 259, "third": 0x61B6}, 0x00050001),  # a block device
        ({"number": 259, "third": 0x11B6}, 0x7FFF0000),  # a FIFO
        ({"number": 0, "machine": 0x40000003}, 0x80000000),  # as a 32-bit process
    ],
)
def test_the_filter_says_to_each_system_call(call: dict[str, int], said: int) -> None:
    assert verdict(seccomp.program("x86_64"), **call) == said


def test_the_other_architecture_has_a_filter_too() -> None:
    arm = 0xC00000B7
    assert verdict(seccomp.program("aarch64"), 117, machine=arm) == 0x00050001  # ptrace
    assert verdict(seccomp.program("aarch64"), 63, machine=arm) == 0x7FFF0000  # read
    assert not seccomp.supported("riscv64")


def test_text_from_code_is_made_visible() -> None:
    assert visible("a\tb\r\nc\x1b[2J\x00\u202e\ud800é😀") == "a\tb\nc\\x1b[2J\\x00\\u202e\\ud800é😀"


TAKING = """
import sys, time
from pathlib import Path
from services.sandbox_exec.locks import Number
number = Number(Path(sys.argv[1]), 8, lambda free: time.sleep(0.3))
print(number.value, flush=True)
sys.stdin.read()
"""


def test_services_that_start_at_once_wait_for_one_another(tmp_path: Path) -> None:
    """Whoever takes a number holds all that are free for a moment: to the others these are not taken."""
    command = [sys.executable, "-c", TAKING, str(tmp_path / "locks")]
    starting = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    try:
        values = [one.stdout.readline().strip() for one in starting if one.stdout]
    finally:
        for one in starting:
            one.communicate("")
    assert sorted(values) == ["0", "1", "2", "3"]
