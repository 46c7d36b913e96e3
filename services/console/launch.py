"""From what was asked for to a campaign that runs: folder, catalog, models."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.catalog import ImportServer
from schemas.evolution import CampaignSpec, Role, RoleModel
from services.console.card import CONFIG, DATASET, read_config, write_card
from services.console.config import RunConfig
from services.console.embedded import CampaignEnd, RunPlan, run_campaign
from services.console.errors import UserError
from services.console.export import write_atomically, write_dataset
from services.console.ledger import Ledger, campaign_spec
from services.console.source import LOG, Folder, Source
from services.kit.log import Record
from services.kit.models.chat import ModelFailed
from services.kit.models.openai_wire import is_sim_named
from services.kit.models.retry import note_failed
from services.kit.models.router import ModelRouter
from services.sim.actors import SimModel, parse_options

Json = dict[str, Any]

UNREAD_KEPT: Final = 100
"""Bad entries of a catalog that the folder's config.json keeps, at most."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A campaign that can be carried out. ``plan`` is None where it is gone on with."""

    folder: Path
    spec: CampaignSpec
    concurrency: int
    plan: RunPlan | None = None
    unread: tuple[str, ...] = ()
    """Entries of the catalog that could not be read, in words."""


def prepare(config: RunConfig) -> Prepared:
    """A new campaign, as ``config`` asks for it. Nothing is written.

    Raises:
        UserError: the folder has a campaign already, or nothing in the catalog can be used.
        ModelFailed: a model's name makes no sense.
    """
    spec = config.spec()
    check_names(spec.models)
    refuse_occupied(config.folder)
    servers, unread = read_catalog(config.catalog)
    plan = RunPlan(servers, spec, config.min_tools, config.max_tools)
    return Prepared(config.folder, spec, config.concurrency, plan, tuple(unread))


def prepare_resume(folder: Path, concurrency: int | None) -> Prepared:
    """The campaign of a folder, as it was started.

    Raises:
        UserError: there is none in it.
        LogError: its log cannot be read.
    """
    if not (folder / LOG).exists():
        raise UserError(f"there is no campaign in {folder}", f"Start one with `tds run --out {folder}`")
    spec = Ledger.open(folder, keep="nothing").spec
    if spec is None:
        advice = f"Its start was cut off before anything was recorded: `tds run --out {folder}` begins it"
        raise UserError(f"the log in {folder} holds no campaign", advice)
    known = read_config(folder).get("concurrency")
    default = known if isinstance(known, int) and known > 0 else RunConfig().concurrency
    return Prepared(folder, spec, concurrency or default)


def refuse_occupied(folder: Path) -> None:
    """Refuse a folder that has a campaign already.

    Raises:
        UserError: it has.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder", "Choose another with --out")
    if not (folder / LOG).exists():
        return
    spec = campaign_spec(folder)
    if spec is not None:
        held = f"campaign {spec.campaign} ({spec.trajectories} trajectories, seed {spec.seed})"
        advice = f"Go on with it: `tds run --resume {folder}`; or choose another folder with --out"
        raise UserError(f"{folder} already holds {held}", advice)


def read_catalog(path: Path | None) -> tuple[list[ImportServer], list[str]]:
    """The servers of a catalog file, or of the built-in catalog, and what could not be read of it.

    Raises:
        UserError: there is nothing in it that can be used.
    """
    if path is None:
        from services.worlds.machines import dump

        origin = "services.worlds.machines"
        return [ImportServer(server_id=str(raw["id"]), server=raw, origin=origin) for raw in dump()], []
    from services.console.catalog_files import read_servers

    servers: list[ImportServer] = []
    unread: list[str] = []
    for entry in read_servers(path):
        if isinstance(entry, ImportServer):
            servers.append(entry)
        else:
            unread.append(str(entry))
    if not servers:
        raise UserError(unread[0] if unread else f"{path}: the catalog is empty: no server is in it")
    return servers, unread


def check_names(models: Mapping[Role, RoleModel]) -> None:
    """Whether every model could be asked at all; nothing goes over the network.

    Raises:
        ModelFailed: naming the roles.
    """
    from services.kit.models.router import check

    for model, roles in by_model(models):
        with naming(roles, model):
            check(model.model, model.base_url)
            if is_sim_named(model.model):
                try:
                    parse_options(model.model.removeprefix("openai/"))
                except ValueError as error:
                    raise ModelFailed("unknown_model", str(error), infrastructure=False) from None


async def preflight(models: Mapping[Role, RoleModel], router: ModelRouter) -> None:
    """Whether every model is really there.

    Raises:
        ModelFailed: naming the roles.
    """
    for model, roles in by_model(models):
        with naming(roles, model):
            await router.preflight(model.model, model.base_url)


def by_model(models: Mapping[Role, RoleModel]) -> list[tuple[RoleModel, list[str]]]:
    """Each model once, with the roles that it plays."""
    found: dict[tuple[str, str], tuple[RoleModel, list[str]]] = {}
    for role, model in models.items():
        found.setdefault((model.model, model.base_url), (model, []))[1].append(role)
    return list(found.values())


@contextlib.contextmanager
def naming(roles: Iterable[str], model: RoleModel) -> Iterator[None]:
    """Say of a failure whose model it is."""
    try:
        yield
    except ModelFailed as error:
        where = f" at {model.base_url}" if model.base_url else ""
        detail = f"{model.model!r}{where} for {', '.join(roles)}: {error.detail}"
        raise ModelFailed(error.code, detail, infrastructure=error.infrastructure) from None


async def carry_out(
    prepared: Prepared,
    on_record: Callable[[Record], None] | None,
    stop: asyncio.Event,
    followed: Ledger | None = None,
) -> CampaignEnd:
    """Run the campaign until it ends, pauses, or ``stop`` is set; then write its card.

    The dataset in OpenAI's format is written once the campaign has finished. ``followed`` is a ledger that
    keeps what rows need, and that ``on_record`` folds every record into: with it, the log is read once.

    Raises:
        ModelFailed: a model is not there. Nothing was started.
        LogError: the log cannot be used. Everything appended so far stands.
    """
    router = ModelRouter(SimModel(), seed=prepared.spec.seed, on_failed=note_failed)
    try:
        await preflight(prepared.spec.models, router)
        write_config(prepared)
        end = await run_campaign(
            prepared.folder,
            prepared.plan,
            models=router,
            concurrency=prepared.concurrency,
            on_record=on_record,
            stop=stop,
        )
    finally:
        await router.close()
    close_books(Folder(prepared.folder), prepared.folder, followed)
    return end


def close_books(source: Source, folder: Path, followed: Ledger | None = None) -> Json:
    """Write what follows from the log: the card and, of a finished campaign, the dataset.

    ``followed`` is the log's ledger, where it has been folded up to the end already.
    """
    ledger = followed or Ledger.open(source, keep="admitted")
    if ledger.state == "finished" and ledger.admitted_count:
        write_dataset(ledger, folder / DATASET)
    return write_card(ledger, folder)


def write_config(prepared: Prepared, *, log: Json | None = None) -> None:
    """Keep, without secrets, what the log does not hold; and where that is, if not in the folder."""
    known = read_config(prepared.folder) if prepared.plan is None else {}
    unread = list(prepared.unread[:UNREAD_KEPT])
    fresh: Json = {"concurrency": prepared.concurrency} if log is None else {"log": log}
    fresh |= {"campaign": prepared.spec.campaign, "catalog": prepared.spec.catalog}
    if prepared.plan is not None:
        fresh |= {"unread": unread, "unread_count": len(prepared.unread)}
    text = json.dumps({**known, **fresh}, ensure_ascii=False, indent=2) + "\n"
    write_atomically(prepared.folder / CONFIG, iter([text.encode()]))


def small(config: RunConfig, trajectories: int) -> RunConfig:
    """The same campaign with fewer trajectories: its first slots are those of the whole.

    A slot may spend what it may spend in the whole.
    """
    share = max(1, config.trajectories)
    return config.model_copy(
        update={
            "trajectories": trajectories,
            "generation_size": min(config.generation_size, trajectories),
            "lookahead": 1,
            "max_slots": 0,
            "budget_usd": 0.0,
            "budget_tokens": 0,
            "allowance_usd": config.allowance_usd or config.budget_usd / share,
            "allowance_tokens": config.allowance_tokens or config.budget_tokens // share,
        }
    )
