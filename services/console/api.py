"""The verbs of ``tds`` for notebooks and scripts.

    from services.console import api

    campaign = api.run(trajectories=20, seed=7, out="out/mine")
    for row in campaign.rows():
        print(row["metadata"]["mode"])

All calls are synchronous and work where an event loop is running. Errors are exceptions:
``UserError``, ``LogError``, ``ModelFailed``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.blueprint import Blueprint
from schemas.run import Verdict
from services.agent_runner.app import named
from services.agent_runner.prompts import assistant_request
from services.agent_runner.verify import verify
from services.console.card import DATASET, card, read_config
from services.console.config import load
from services.console.errors import UserError
from services.console.export import format_named, rows, write_dataset
from services.console.launch import carry_out, close_books, prepare, prepare_resume, small
from services.console.ledger import Ledger
from services.console.preview import TRAJECTORIES, Estimate, estimate
from services.console.show import find, show_markdown
from services.console.source import Folder, Source, on_stack
from services.console.stopping import run_through, run_to_end
from services.kit.log import Record
from services.kit.models.chat import ChatReply
from services.kit.models.router import ModelRouter
from services.sim.actors import SimModel

if TYPE_CHECKING:
    from services.console.replay import ReplayReport

Json = dict[str, Any]


class Campaign:
    """A campaign's folder. Reads the log when it is first asked; ``refresh`` reads it again.

    ``source`` is where the log is, if not in the folder.
    """

    def __init__(self, folder: Path | str, source: Source | None = None) -> None:
        self.folder = Path(folder)
        self.source = source or Folder(self.folder)
        self._ledger: Ledger | None = None

    @classmethod
    def on_stack(cls, name: str = "") -> Campaign:
        """The campaign of this name on the stack that ``TDS_KAFKA`` names; the only one if none is given.

        Raises:
            UserError: there is none.
            LogError: no broker answers.
        """
        source = on_stack(name)
        return cls(Path("out") / source.campaign, source)

    def __repr__(self) -> str:
        """``Campaign('out/c7')``."""
        return f"Campaign({self.source.words!r})"

    @property
    def ledger(self) -> Ledger:
        """The campaign's log, folded.

        Raises:
            LogError: there is none.
        """
        if self._ledger is None:
            self._ledger = Ledger.open(self.source)
        return self._ledger

    def refresh(self) -> Campaign:
        """Forget what was read."""
        self._ledger = None
        return self

    def status(self) -> Json:
        """The card: counts, figures, usage, how it stands."""
        return card(self.ledger, read_config(self.folder))

    def rows(self, *, failed: bool = False) -> Iterator[Json]:
        """The dataset's rows in OpenAI's format, or those of the failed runs."""
        return rows(self.ledger, failed=failed)

    def row(self, which: int | str) -> Json:
        """One row, by its number (from 0) or its run's id.

        Raises:
            UserError: there is none.
        """
        return find(self.ledger, str(which))[0]

    def blueprint(self, run_id: str) -> Blueprint:
        """A run's blueprint.

        Raises:
            LookupError: there is no such run, or it has none.
        """
        return self.ledger.blueprint(run_id)

    def show(self, which: int | str) -> str:
        """One trajectory as Markdown.

        Raises:
            UserError: there is none.
        """
        return show_markdown(*find(self.ledger, str(which)))

    def export(self, to: Path | str, form: str = "openai", *, failed: bool = False) -> int:
        """Write the dataset; returns the number of rows."""
        return write_dataset(self.ledger, Path(to), format_named(form), failed=failed)

    def replay(self) -> ReplayReport:
        """Decide everything again from the log, models forbidden, and compare."""
        from services.console.replay import recorded_campaign
        from services.console.replay import replay as again

        recorded = recorded_campaign(self.source)
        exported = self.folder / DATASET
        return run_through(lambda: again(recorded, exported.read_bytes() if exported.exists() else None))

    def resume(self, *, concurrency: int | None = None) -> Campaign:
        """Go on where it was cut off."""
        return resume(self.folder, concurrency=concurrency)

    def ask(self, run_id: str, index: int, messages: Sequence[Json]) -> Json:
        """The assistant's reply at ``index`` of a row's messages, asked anew with ``messages`` before it.

        The request is made as the runner makes it, from the blueprint and ``messages[:index]`` alone, so a
        changed message changes the reply.

        Raises:
            LookupError: there is no such run.
            ModelFailed: the assistant's model gave no reply.
        """
        turn, before = index - 1, list(messages[:index])  # turns count from the first user message
        request = assistant_request(self.blueprint(run_id), turn, before)

        async def asked() -> ChatReply:
            router = ModelRouter(SimModel())
            try:
                return await router.complete(request)
            finally:
                await router.close()

        return reply_message(run_through(asked), turn, before)

    def verify(self, run_id: str, messages: Sequence[Json]) -> Verdict:
        """The verdict of the rules on ``messages``, by a run's blueprint.

        Raises:
            LookupError: there is no such run.
        """
        return verify(self.blueprint(run_id), list(messages))


@dataclass(frozen=True, slots=True)
class Preview:
    """A few trajectories as rows, their blueprints, and what the whole would take."""

    rows: tuple[Json, ...]
    blueprints: tuple[Blueprint, ...]
    status: Json
    estimate: Estimate | None

    def markdown(self) -> str:
        """All of them, readable."""
        pages = [
            show_markdown(row, blueprint) for row, blueprint in zip(self.rows, self.blueprints, strict=True)
        ]
        return "\n\n".join(pages)


def run(
    *, config: Path | str | None = None, on_record: Callable[[Record], None] | None = None, **settings: Any
) -> Campaign:
    """Start a campaign and carry it out; ``settings`` are the flags of ``tds run`` (``budget_usd=5``).

    ``model`` and ``base_url`` are mappings of roles. Ctrl-C stops it in good order.

    Raises:
        UserError: settings that make no sense, a folder that holds a campaign already, no usable catalog.
        ModelFailed: a model cannot be used.
        LogError: the log cannot be used.
    """
    prepared = prepare(load(_settings(settings), Path(config) if config else None, {}))
    run_to_end(lambda stop: carry_out(prepared, on_record, stop))
    return Campaign(prepared.folder)


def resume(
    folder: Path | str,
    *,
    concurrency: int | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Campaign:
    """Go on with the campaign of a folder; one that has finished stays as it is.

    Raises:
        UserError: there is none in it.
        ModelFailed: a model cannot be used.
        LogError: the log cannot be used.
    """
    prepared = prepare_resume(Path(folder), concurrency)
    run_to_end(lambda stop: carry_out(prepared, on_record, stop))
    return Campaign(folder)


def preview(
    *,
    count: int = TRAJECTORIES,
    config: Path | str | None = None,
    on_record: Callable[[Record], None] | None = None,
    **settings: Any,
) -> Preview:
    """The first ``count`` trajectories of the campaign that ``settings`` ask for, in no folder.

    Raises:
        UserError: settings that make no sense, no usable catalog.
        ModelFailed: a model cannot be used.
    """
    whole = load(_settings(settings), Path(config) if config else None, {})
    with tempfile.TemporaryDirectory(prefix="tds-preview-") as folder:
        asked = small(whole, count).model_copy(update={"out": Path(folder)})
        prepared = prepare(asked)
        run_to_end(lambda stop: carry_out(prepared, on_record, stop))
        ledger = Ledger.open(Path(folder))
    made = tuple(rows(ledger))
    blueprints = tuple(ledger.blueprint(row["id"]) for row in made)
    return Preview(made, blueprints, card(ledger), estimate(ledger, whole.spec()))


def status(folder: Path | str) -> Json:
    """See ``Campaign.status``."""
    return Campaign(folder).status()


def show(folder: Path | str, which: int | str) -> str:
    """See ``Campaign.show``."""
    return Campaign(folder).show(which)


def export(folder: Path | str, to: Path | str, form: str = "openai", *, failed: bool = False) -> int:
    """See ``Campaign.export``."""
    return Campaign(folder).export(to, form, failed=failed)


def replay(folder: Path | str) -> ReplayReport:
    """See ``Campaign.replay``."""
    return Campaign(folder).replay()


def rebuild(folder: Path | str) -> Json:
    """Make the card, and the dataset of a finished campaign, again from the log; returns the card."""
    return close_books(Folder(Path(folder)), Path(folder))


def reply_message(reply: ChatReply, turn: int, messages: Sequence[Json]) -> Json:
    """A reply as the runner would record it and the row would show it."""
    content = reply.content.strip() or None
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in named(reply.calls, turn, messages)
    ]
    message: Json = {"role": "assistant", "content": content}
    return {**message, "tool_calls": calls} if calls else message


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    from services.console.config import RunConfig

    unknown = sorted(set(given) - set(RunConfig.model_fields))
    if unknown:
        known = ", ".join(RunConfig.model_fields)
        raise UserError(f"there is no setting {unknown[0]!r}", f"Known are: {known}")
    return given
