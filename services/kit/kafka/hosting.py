"""The door by which a service is started on Kafka; imports nothing of Kafka before it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from services.kit.models.chat import ChatModel
from services.kit.service import Service


def on_kafka(
    make: Callable[..., Service], sim: Callable[[], ChatModel] | None = None, warm: Sequence[str] = ()
) -> Callable[[str], Any]:
    """A module's ``__getattr__``, by which its ``app`` is made when it is first asked for.

    So ``faststream run services.<name>.app:app`` finds an application, and whoever imports the module for
    the embedded system needs no FastStream. A service that asks models gives the ``sim`` that plays the
    scripted ones; ``make`` is then called with a model that knows all others, too. ``warm`` are modules that
    would be imported when first used: a process that shares work stands still for no second of it later.
    """

    def attribute(name: str) -> Any:
        if name != "app":
            raise AttributeError(name)
        from services.kit.kafka.host import hosted

        for module in warm:
            importlib.import_module(module)
        return hosted(make, sim)

    return attribute
