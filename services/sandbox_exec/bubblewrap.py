"""Makes bubblewrap jails: each with a user id of its own and in a control group, where that can be had."""

from __future__ import annotations

import os
from functools import partial

from services.sandbox_exec.boot import BOOT
from services.sandbox_exec.bwrap_jail import BwrapJail
from services.sandbox_exec.cgroups import Group, Groups
from services.sandbox_exec.jail import Jail
from services.sandbox_exec.limits import Limits
from services.sandbox_exec.slots import Slots
from services.sandbox_exec.view import SHELL, View


class Bubblewrap:
    """``slots`` are the user ids where the service is root; without, all jails are its own user's."""

    name = "bubblewrap"
    ready = 1

    def __init__(self, view: View, *, slots: Slots | None, groups: Groups | None, limits: Limits) -> None:
        self.view = view
        self.packages = view.packages
        self.languages: tuple[str, ...] = ("python", "bash") if os.access(SHELL, os.X_OK) else ("python",)
        self._limits = limits
        self._slots = slots
        self._groups = groups
        self._count = 0

    async def start(self) -> Jail:
        """Start one.

        Raises:
            JailFailed: it does not start.
            NoSlot: all user ids are in use.
            OSError: its control group cannot be made.
        """
        user = self._slots.take() if self._slots is not None else None
        group: Group | None = None
        try:
            if self._groups is not None:
                self._count += 1
                group = self._groups.make(
                    str(user) if user is not None else f"{os.getpid()}{self._count:06}",
                    memory_bytes=self._limits.memory_bytes + self._limits.work_bytes,
                    processes=self._limits.processes,
                )
            program = [self.view.python, "-s", "-c", BOOT]
            jail = await BwrapJail.start(self.view, self._limits, program, user=user, group=group)
        except BaseException:
            if group is not None:
                group.remove()
            self._give(user)
            raise
        jail.at_end = partial(self._give, user)
        return jail

    def _give(self, user: int | None) -> None:
        if user is not None and self._slots is not None:
            self._slots.give(user)

    @property
    def users(self) -> range:
        """The user ids of its jails; where all are its own user's, none."""
        return self._slots.users if self._slots is not None else range(0)

    def close(self) -> None:
        """Give back user ids and the place of groups."""
        if self._groups is not None:
            self._groups.close()
        if self._slots is not None:
            self._slots.close()
