"""The system calls that code in the jail may not make: a seccomp filter, as the bytes that bubblewrap loads.

Calls are known by number: those named here are refused with EPERM, those younger than the tables with ENOSYS,
and a process of another architecture is killed. Written as classic BPF by hand, so that nothing has to be
installed for it; the numbers are those of linux/unistd.h.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass
from typing import Final

LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN: Final = 0x06  # BPF_RET | BPF_K

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
ERRNO: Final = 0x00050000

NUMBER: Final = 0
ARCHITECTURE: Final = 4
FIRST: Final = 16
"""Offset of the lower half of the first argument in ``struct seccomp_data``."""
SECOND: Final = 24
THIRD: Final = 32

AF_UNIX: Final = 1
NEW_NAMESPACES: Final = 0x7E020080
"""Every CLONE_NEW flag: mount, cgroup, uts, ipc, user, pid, net, time."""
DEVICE: Final = 0x2000
"""A bit of a file's mode that devices have, and FIFOs, sockets and regular files have not."""
TERMINAL_INPUT: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: a process that types into a terminal."""


@dataclass(frozen=True, slots=True)
class Table:
    """What one architecture calls its system calls. ``end``: the first number that is not known here."""

    audit: int
    end: int
    clone: int
    clone3: int
    ioctl: int
    socket: int
    socketpair: int
    mknodat: int
    mknod: int
    """Zero where there is none."""
    refused: str


TABLES: Final = {
    "x86_64": Table(
        audit=0xC000003E,
        end=451,
        clone=56,
        clone3=435,
        ioctl=16,
        socket=41,
        socketpair=53,
        mknodat=259,
        mknod=133,
        refused="""
_sysctl=156 acct=163 add_key=248 adjtimex=159 bpf=321 capset=126 chroot=161 clock_adjtime=305
clock_settime=227 create_module=174 delete_module=176 execveat=322 fanotify_init=300 fanotify_mark=301
finit_module=313 fsconfig=431 fsmount=432 fsopen=430 fspick=433 get_kernel_syms=177 get_mempolicy=239
init_module=175 io_cancel=210 io_destroy=207 io_getevents=208 io_pgetevents=333 io_setup=206
io_submit=209 io_uring_enter=426 io_uring_register=427 io_uring_setup=425 ioperm=173 iopl=172
ioprio_set=251 kcmp=312 kexec_file_load=320 kexec_load=246 keyctl=250 landlock_add_rule=445
landlock_create_ruleset=444 landlock_restrict_self=446 lookup_dcookie=212 mbind=237 memfd_create=319
memfd_secret=447 migrate_pages=256 mlock=149 mlock2=325 mlockall=151
modify_ldt=154 mount=165 mount_setattr=442 move_mount=429 move_pages=279 mq_getsetattr=245 mq_notify=244
mq_open=240 mq_timedreceive=243 mq_timedsend=242 mq_unlink=241 msgctl=71 msgget=68 msgrcv=70 msgsnd=69
name_to_handle_at=303 nfsservctl=180 open_by_handle_at=304 open_tree=428 perf_event_open=298
personality=135 pidfd_getfd=438 pidfd_open=434 pidfd_send_signal=424 pivot_root=155 process_madvise=440
process_mrelease=448 process_vm_readv=310 process_vm_writev=311 ptrace=101 query_module=178 quotactl=179
quotactl_fd=443 reboot=169 remap_file_pages=216 request_key=249 sched_setattr=314 sched_setparam=142
sched_setscheduler=144 seccomp=317 semctl=66 semget=64 semop=65 semtimedop=220 set_mempolicy=238
set_mempolicy_home_node=450 setdomainname=171 setfsgid=123 setfsuid=122 setgid=106 setgroups=116
sethostname=170 setns=308 setregid=114 setresgid=119 setresuid=117 setreuid=113 settimeofday=164
setuid=105 shmat=30 shmctl=31 shmdt=67 shmget=29 swapoff=168 swapon=167 sysfs=139 syslog=103 umount2=166
unshare=272 uselib=134 userfaultfd=323 ustat=136 vhangup=153 vmsplice=278
""",
    ),
    "aarch64": Table(
        audit=0xC00000B7,
        end=451,
        clone=220,
        clone3=435,
        ioctl=29,
        socket=198,
        socketpair=199,
        mknodat=33,
        mknod=0,
        refused="""
acct=89 add_key=217 adjtimex=171 bpf=280 capset=91 chroot=51 clock_adjtime=266 clock_settime=112
delete_module=106 execveat=281 fanotify_init=262 fanotify_mark=263 finit_module=273 fsconfig=431
fsmount=432 fsopen=430 fspick=433 get_mempolicy=236 init_module=105 io_cancel=3 io_destroy=1
io_getevents=4 io_pgetevents=292 io_setup=0 io_submit=2 io_uring_enter=426 io_uring_register=427
io_uring_setup=425 ioprio_set=30 kcmp=272 kexec_file_load=294 kexec_load=104 keyctl=219
landlock_add_rule=445 landlock_create_ruleset=444 landlock_restrict_self=446 lookup_dcookie=18 mbind=235
memfd_create=279 memfd_secret=447 migrate_pages=238 mlock=228 mlock2=284 mlockall=230
mount=40 mount_setattr=442 move_mount=429 move_pages=239 mq_getsetattr=185 mq_notify=184 mq_open=180
mq_timedreceive=183 mq_timedsend=182 mq_unlink=181 msgctl=187 msgget=186 msgrcv=188 msgsnd=189
name_to_handle_at=264 nfsservctl=42 open_by_handle_at=265 open_tree=428
perf_event_open=241 personality=92 pidfd_getfd=438 pidfd_open=434
pidfd_send_signal=424 pivot_root=41 process_madvise=440 process_mrelease=448 process_vm_readv=270
process_vm_writev=271 ptrace=117 quotactl=60 quotactl_fd=443 reboot=142 remap_file_pages=234
request_key=218 sched_setattr=274 sched_setparam=118 sched_setscheduler=119 seccomp=277 semctl=191
semget=190 semop=193 semtimedop=192 set_mempolicy=237 set_mempolicy_home_node=450 setdomainname=162
setfsgid=152 setfsuid=151 setgid=144 setgroups=159 sethostname=161 setns=268 setregid=143 setresgid=149
setresuid=147 setreuid=145 settimeofday=170 setuid=146 shmat=196 shmctl=195 shmdt=197 shmget=194
swapoff=225 swapon=224 syslog=116 umount2=39 unshare=97 userfaultfd=282 vhangup=58 vmsplice=75
""",
    ),
}


def supported(machine: str = "") -> bool:
    """Whether there is a filter for this machine's architecture."""
    return (machine or platform.machine()) in TABLES


def program(machine: str = "") -> bytes:
    """The filter as an array of ``struct sock_filter``.

    Raises:
        KeyError: the architecture is not known here.
    """
    table = TABLES[machine or platform.machine()]
    refused = sorted(int(one.partition("=")[2]) for one in table.refused.split())
    code = [
        _line(LOAD, ARCHITECTURE),
        _line(EQUAL, table.audit, yes=1),
        _line(RETURN, KILL),
        _line(LOAD, NUMBER),
        *_if(AT_LEAST, table.end, _error(errno.ENOSYS)),  # the x32 calls too: their numbers begin at 2**30
        *_if(EQUAL, table.clone3, _error(errno.ENOSYS)),  # its flags cannot be seen; libraries then use clone
        *(line for number in refused for line in _if(EQUAL, number, _error(errno.EPERM))),
        *_argument(table.clone, FIRST, [_line(ANY_BIT, NEW_NAMESPACES, no=1), _error(errno.EPERM)]),
        *(
            line
            for number in (table.socket, table.socketpair)
            for line in _argument(number, FIRST, [_line(EQUAL, AF_UNIX, yes=1), _error(errno.EAFNOSUPPORT)])
        ),
        *_argument(table.mknodat, THIRD, [_line(ANY_BIT, DEVICE, no=1), _error(errno.EPERM)]),
        *(
            _argument(table.mknod, SECOND, [_line(ANY_BIT, DEVICE, no=1), _error(errno.EPERM)])
            if table.mknod
            else []
        ),
        *_argument(
            table.ioctl,
            SECOND,
            [line for request in TERMINAL_INPUT for line in _if(EQUAL, request, _error(errno.EPERM))],
        ),
        _line(RETURN, ALLOW),
    ]
    return b"".join(code)


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _error(number: int) -> bytes:
    return _line(RETURN, ERRNO | number)


def _if(test: int, value: int, then: bytes) -> list[bytes]:
    """Where the test holds, ``then``; the loaded value stays."""
    return [_line(test, value, no=1), then]


def _argument(number: int, offset: int, then: list[bytes]) -> list[bytes]:
    """For one system call, ``then`` on one of its arguments, and otherwise it is allowed."""
    body = [_line(LOAD, offset), *then, _line(RETURN, ALLOW)]
    return [_line(EQUAL, number, no=len(body)), *body]
