"""What code in a sandbox may try. Every attack prints ``ESCAPED`` where it works, and works outside.

An attack is code that finds what it is aimed at in the dictionary ``T``. Those that would do harm outside are
made so that they do none: a clock is set to what it shows, a setting to what it is, a bomb is small.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

IMPORTS = """
import ctypes, os, socket, stat, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def apart(work):
    '''Does the work in a child, so that what it changes ends with it.'''
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        print("ESCAPED", flush=True)
"""


@dataclass(frozen=True)
class Attack:
    """``outcome``: that of the limit it must break; empty where it must only fail to escape."""

    name: str
    code: str
    outcome: str = ""

    def source(self, target: dict[str, Any]) -> str:
        return f"{IMPORTS}\nT = {json.dumps(target)!r}\nimport json\nT = json.loads(T)\n{self.code}"


def connects(family: str, address: str, kind: str = "SOCK_STREAM") -> str:
    return f"""
with socket.socket(socket.{family}, socket.{kind}) as one:
    one.settimeout(3)
    one.connect({address})
    one.sendall(b"who is there")
    if one.recv(100) == T["token"].encode():
        print("ESCAPED")
"""


def filling(folder: str) -> str:
    return f"""
made = []
try:
    for count in range(6):
        made.append({folder} + f"/part-{{os.getpid()}}-{{count}}")
        with open(made[-1], "wb") as part:
            for _ in range(16):
                part.write(bytes(1 << 20))
    print("ESCAPED", flush=True)
finally:
    for one in made:
        if os.path.exists(one) and T["outside"]:
            os.remove(one)
"""


def system_call(number: int, arguments: str) -> str:
    return f"checked(libc.syscall({number}, {arguments}))\nprint('ESCAPED')\n"


ATTACKS = (
    Attack(
        "fork bomb",
        """
children = []
try:
    for _ in range(100):
        child = os.fork()
        if not child:
            time.sleep(20)
            os._exit(0)
        children.append(child)
    print("ESCAPED", flush=True)
finally:
    for child in children:
        os.kill(child, 9)
""",
        "process_limit",
    ),
    Attack(
        "allocation of 4 GB",
        "bytearray((2 if T['outside'] else 4) << 30)\nprint('ESCAPED')\n",
        "memory_limit",
    ),
    Attack(
        "ten children of 200 MB",
        """
read, write = os.pipe()
children = []
for _ in range(10):
    child = os.fork()
    if not child:
        held = bytearray(b"x") * (200 << 20)
        os.write(write, b"r")
        time.sleep(60)
        os._exit(0)
    children.append(child)
os.close(write)
got = b""
while len(got) < 10 and (piece := os.read(read, 10)):
    got += piece
if len(got) == 10:
    print("ESCAPED", flush=True)
for child in children:
    os.kill(child, 9)
""",
        "memory_limit",
    ),
    Attack("filling /tmp", filling("'/tmp'"), "disk_limit"),
    Attack("filling /dev/shm", filling("'/dev/shm'"), "disk_limit"),
    Attack("filling /work", filling("os.getcwd()"), "disk_limit"),
    Attack(
        "filling the disk with small files",
        """
os.mkdir("many")
for count in range(5000):
    with open(f"many/{count}", "wb") as one:
        one.write(b"x")
print("ESCAPED")
""",
        "disk_limit",
    ),
    Attack(
        "a flood of output",
        """
for _ in range(64 if T["outside"] else 1024):
    os.write(1, b"x" * (1 << 20))
print("ESCAPED")
""",
        "output_limit",
    ),
    Attack("asking a name server", connects("AF_INET", 'tuple(T["dns"])', "SOCK_DGRAM")),
    Attack("TCP to the machine's address", connects("AF_INET", 'tuple(T["tcp"])')),
    Attack("TCP to the host's loopback", connects("AF_INET", 'tuple(T["loopback"])')),
    Attack("TCP to the gateway", connects("AF_INET", 'tuple(T["gateway"])')),
    Attack("TCP by IPv6", connects("AF_INET6", 'tuple(T["six"])')),
    Attack("AF_VSOCK", "socket.socket(40, socket.SOCK_STREAM)\nprint('ESCAPED')\n"),
    Attack("reading /etc/shadow", "open('/etc/shadow').read()\nprint('ESCAPED')\n"),
    Attack("reading a file of the host", "if open(T['secret']).read() == T['token']: print('ESCAPED')\n"),
    Attack(
        "finding the project's source",
        """
if any("cgroups.py" in names for _, _, names in os.walk(T["project"])):
    print("ESCAPED")
""",
    ),
    Attack(
        "reading the parent's environment",
        """
for name in os.listdir("/proc"):
    try:
        if name.isdigit() and T["environment"].encode() in open(f"/proc/{name}/environ", "rb").read():
            print("ESCAPED")
            break
    except OSError:
        pass
""",
    ),
    Attack(
        "writing outside of the work folder",
        """
for folder in (T["folder"], "/usr/bin", "/etc", "/opt", "/", "/dev", "/proc", "/opt/packages"):
    path = f"{folder}/written-{os.getpid()}"
    try:
        open(path, "w").write("x")
    except OSError:
        continue
    os.remove(path)
    print("ESCAPED")
    break
""",
    ),
    Attack(
        "ptrace of a process of the host", "checked(libc.ptrace(16, T['victim'], 0, 0))\nprint('ESCAPED')\n"
    ),
    Attack(
        "killing a process of the host",
        """
for name in os.listdir("/proc"):
    try:
        if name.isdigit() and T["mark"].encode() in open(f"/proc/{name}/cmdline", "rb").read().split(b"\\0"):
            os.kill(int(name), 9)
            print("ESCAPED")
    except OSError:
        pass
""",
    ),
    Attack(
        "mount",
        """
def work():
    checked(libc.unshare(0x20000))
    checked(libc.mount(b"none", b"/", None, 0x44000, None))
    checked(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
apart(work)
""",
    ),
    Attack("chroot", "apart(lambda: os.chroot('/tmp'))\n"),
    Attack(
        "device nodes",
        """
path = os.path.join(os.getcwd(), "zero")
os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
print("ESCAPED")
""",
    ),
    Attack(
        "a container engine's socket",
        """
for path in (T["socket"], "/var/run/docker.sock", "/run/docker.sock"):
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)
            print("ESCAPED")
            break
    except OSError:
        pass
""",
    ),
    Attack("an abstract socket", connects("AF_UNIX", 'b"\\0" + T["abstract"].encode()')),
    Attack(
        "writing a sysctl",
        """
path = "/proc/sys/kernel/core_pattern"
now = open(path).read()
open(path, "w").write(now)
print("ESCAPED")
""",
    ),
    Attack("becoming root", "os.setuid(0)\nif os.geteuid() == 0: print('ESCAPED')\n"),
    Attack("setting the clock", "time.clock_settime(time.CLOCK_REALTIME, time.time())\nprint('ESCAPED')\n"),
    Attack("reading the kernel's log", "os.open('/dev/kmsg', os.O_RDONLY)\nprint('ESCAPED')\n"),
    Attack(
        "perf_event_open",
        "attr = struct.pack('IIQ', 1, 128, 0) + bytes(112)\n" + system_call(298, "attr, 0, -1, -1, 0"),
    ),
    Attack(
        "bpf", "attr = struct.pack('IIIII', 2, 4, 4, 1, 0) + bytes(108)\n" + system_call(321, "0, attr, 128")
    ),
    Attack("user namespaces", "apart(lambda: checked(libc.unshare(0x10000000)))\n"),
    Attack("keyctl", system_call(250, "0, -3, 1")),
    Attack("io_uring", system_call(425, "4, bytes(120)")),
    Attack(
        "another run's folder",
        """
for root in T["roots"]:
    for folder, _, names in os.walk(root):
        if T["kept"] in names:
            print("ESCAPED")
""",
    ),
)
