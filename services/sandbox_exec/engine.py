"""A container engine by the Docker SDK: starts containers for one session each, and takes them away.

What a container is given stands here and nowhere else; no caller can ask for more. A container bears its
service's mark: a number that only one process of the machine holds at a time. So a service that is started
anew knows what a dead one has left, and removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import docker
import requests
import structlog
from docker.errors import APIError, DockerException

from services.sandbox_exec.boot import BOOT, sent
from services.sandbox_exec.jail import JailFailed, Seen
from services.sandbox_exec.limits import MIB, Limits
from services.sandbox_exec.locks import Number
from services.sandbox_exec.view import ALLOWED, ENVIRONMENT

log = structlog.get_logger(__name__)

RUNTIMES: Final = {"docker-gvisor": "runsc", "docker-runc": "runc"}
"""What each tier's runtime is called by the engine."""
LABEL: Final = "tds.sandbox"
NOBODY: Final = 65534
SERVICES: Final = 64
OVERHEAD: Final = 128 * MIB
"""Memory beside the code's own: the worker, and with gVisor its kernel."""
GVISOR_TASKS: Final = 512
"""Threads on the host; gVisor's kernel needs several a process, and dies where it gets none."""
GVISOR_DIED: Final = 2
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
ASK_S: Final = 30
REMOVE_S: Final = 30.0
FATE_S: Final = 2.0
OUT, ERR = 1, 2
PROBE: Final = """
def main():
    import importlib.metadata, json, os, sys
    found = []
    for name in ALLOWED:
        try:
            found.append(name + " " + importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            pass
    told = {"python": sys.version_info[:2], "packages": found, "bash": os.access("/bin/bash", os.X_OK)}
    os.write(1, json.dumps(told).encode())
"""


class Engine:
    """Containers of one runtime and one image."""

    def __init__(self, tier: str, image: str, limits: Limits) -> None:
        """Look whether the engine has what is needed, reap, and try a container out.

        Raises:
            JailFailed: something is missing; the text says what, and what to do.
        """
        self.tier, self.limits = tier, limits
        self._runtime = RUNTIMES[tier]
        self._clients: list[Any] = []
        self._local = threading.local()
        self._counting = threading.Lock()
        self._count = 0
        self._number: Number | None = None
        self.pool = ThreadPoolExecutor(8, thread_name_prefix="engine")
        try:
            self._image = self._checked(image)
            host = f"{socket.gethostname()}-{os.geteuid()}"
            folder = Path(tempfile.gettempdir()) / f"tds-containers-{os.geteuid()}"
            self._number = Number(folder, SERVICES, lambda free: self._reap([f"{host}-{n}" for n in free]))
            self._mark = f"{host}-{self._number.value}"
            told = self._probed()
        except (DockerException, requests.RequestException, OSError, RuntimeError, ValueError) as error:
            self.close()
            raise JailFailed(f"{tier}: {str(error)[:400]}") from None
        self.packages = tuple(str(one) for one in told["packages"])
        self.languages: tuple[str, ...] = ("python", "bash") if told["bash"] else ("python",)

    def _checked(self, image: str) -> str:
        """The image's id, where the engine has it and the runtime."""
        try:
            known = self._client.info().get("Runtimes") or {}
        except (DockerException, requests.RequestException) as error:
            raise JailFailed(f"no container engine answers ({str(error)[:200]})") from None
        if self._runtime not in known:
            raise JailFailed(f"the engine has no runtime {self._runtime}; install and register it")
        try:
            return str(self._client.inspect_image(image)["Id"])
        except docker.errors.ImageNotFound:
            how = "docker build -f infra/Dockerfile --target code -t tdscaling/code ."
            raise JailFailed(f"the engine has no image {image}; build it ({how}), or name another") from None

    @property
    def _client(self) -> Any:
        """This thread's."""
        if not hasattr(self._local, "client"):
            options = docker.utils.kwargs_from_env()
            if "tls" in options:
                raise JailFailed("an engine that is spoken to by TLS cannot be used; name one by its socket")
            self._local.client = docker.APIClient(version="auto", timeout=ASK_S, **options)
            self._clients.append(self._local.client)
        return self._local.client

    def named(self) -> str:
        """A name for the next container."""
        with self._counting:
            self._count += 1
            return f"{LABEL}-{self._mark}-{self._count}"

    def start(self, name: str) -> socket.socket:
        """Start a container of this name; what speaks with its bootstrap, in the engine's frames. Blocks.

        Raises:
            JailFailed: it does not start; nothing of it is left.
        """
        client, attached = self._client, None
        try:
            client.create_container(
                self._image,
                ["-s", "-c", BOOT],
                entrypoint=["python3"],
                name=name,
                hostname="sandbox",
                user=f"{NOBODY}:{NOBODY}",
                working_dir="/work",
                environment={"PATH": PATH, **dict(ENVIRONMENT)},
                labels={LABEL: self._mark},
                stdin_open=True,
                network_disabled=True,
                use_config_proxy=False,
                healthcheck={"test": ["NONE"]},
                host_config=self._host_config(client),
            )
            given = client.attach_socket(name, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            attached = socket.socket(fileno=os.dup(given.fileno()))
            given._response.close()  # noqa: SLF001  (else the connection stays open until it is collected)
            given.close()
            client.start(name)
        except (DockerException, requests.RequestException, OSError) as error:
            if attached is not None:
                attached.close()
            self.remove(name)
            raise JailFailed(f"a container does not start: {str(error)[:300]}") from None
        return attached

    def _host_config(self, client: Any) -> Any:
        limits = self.limits
        temporary = max(limits.work_bytes // 4, MIB)
        memory = limits.memory_bytes + limits.work_bytes + OVERHEAD
        tmpfs = f"rw,nosuid,nodev,exec,nr_inodes={limits.files + 2},size="
        return client.create_host_config(
            runtime=self._runtime,
            network_mode="none",
            ipc_mode="private",
            read_only=True,
            init=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=limits.processes if self._runtime == "runc" else GVISOR_TASKS,
            mem_limit=memory,
            memswap_limit=memory,
            nano_cpus=int(limits.processors * 1e9),
            shm_size=temporary,
            oom_score_adj=1000,
            tmpfs={
                "/work": f"{tmpfs}{limits.work_bytes},mode=0755,uid={NOBODY},gid={NOBODY}",
                "/tmp": f"{tmpfs}{temporary},mode=1777",  # noqa: S108  (in the container)
            },
            ulimits=[docker.types.Ulimit(name="core", soft=0, hard=0)],
            log_config=docker.types.LogConfig(type="none"),
            restart_policy={"Name": "no"},
        )

    def fate(self, name: str) -> Seen:
        """What a container that is over died of, where it was for want of something. Blocks.

        gVisor's kernel ends with an exit code of its own where it gets no more threads.
        """
        until = time.monotonic() + FATE_S
        with contextlib.suppress(DockerException, requests.RequestException):
            while (state := self._client.inspect_container(name)["State"])["Running"]:
                if time.monotonic() > until:
                    break
                time.sleep(0.05)
            threads = self._runtime == RUNTIMES["docker-gvisor"] and state["ExitCode"] == GVISOR_DIED
            killed = bool(state["OOMKilled"])
            return Seen(killed=int(killed), refused=int(threads and not killed))
        return Seen()

    def remove(self, name: str) -> None:
        """Kill it and take it away; nothing of it is left. Blocks. What cannot be is for the next start."""
        until = time.monotonic() + REMOVE_S
        while True:
            try:
                self._client.remove_container(name, v=True, force=True)
            except APIError as error:
                if error.status_code == 404:
                    return
                said: object = error
            except (DockerException, requests.RequestException) as error:
                said = error
            else:
                return
            if time.monotonic() > until:
                log.warning("a container cannot be removed", name=name, error=str(said)[:300])
                return
            time.sleep(0.05)

    def _reap(self, marks: list[str]) -> None:
        found = self._client.containers(all=True, filters={"label": [LABEL]})
        for one in found:
            if one["Labels"].get(LABEL) in marks:
                self.remove(one["Id"])

    def _probed(self) -> dict[str, Any]:
        """What code finds in a container."""
        name = self.named()
        text = PROBE.replace("ALLOWED", repr(ALLOWED))
        with contextlib.ExitStack() as stack:
            stack.callback(self.remove, name)
            speaking = stack.enter_context(self.start(name))
            has = self._client.inspect_container(name)["HostConfig"]["Runtime"]
            if has != self._runtime:
                raise JailFailed(f"the engine runs it with {has}, and {self._runtime} was asked for")
            speaking.settimeout(ASK_S)
            speaking.sendall(sent([("probe", text)]))
            said = {OUT: b"", ERR: b""}
            with contextlib.suppress(EOFError):
                while sum(map(len, said.values())) < MIB:
                    kind, size = header(exactly(speaking, 8))
                    said[OUT if kind == OUT else ERR] += exactly(speaking, size)
        try:
            told = json.loads(said[OUT])
            if tuple(told["python"]) < (3, 11):
                raise ValueError("python3 is older than 3.11")  # noqa: TRY301
        except (ValueError, KeyError, TypeError) as error:
            words = said[ERR].decode("utf-8", "replace").strip()[-300:]
            raise JailFailed(f"its image does not work: {words or error}") from None
        return dict(told)

    def close(self) -> None:
        """Give everything back; its containers have been removed."""
        self.pool.shutdown()
        for client in self._clients:
            client.close()
        if self._number is not None:
            self._number.close()


def header(data: bytes) -> tuple[int, int]:
    """Kind and size of the engine's next frame."""
    kind, size = struct.unpack(">B3xI", data)
    return kind, size


def exactly(source: socket.socket, count: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: it ends before.
        OSError: nothing comes for long.
    """
    data = b""
    while len(data) < count:
        piece = source.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
