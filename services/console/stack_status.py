"""How a stack stands: its campaigns, the services at work, how far behind they are, and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.topics import TOPICS
from services.console.card import ended
from services.console.dead_letters import DEAD, summary, summary_text
from services.console.embedded import services
from services.console.errors import UserError
from services.console.ledger import Ledger
from services.console.replay import Forbidden
from services.console.source import PATIENCE_S, Stack, campaigns, read_to_ends
from services.console.stopping import run_through
from services.kit.dead import exhume
from services.kit.log import EventLog, Record
from services.kit.service import Performer

if TYPE_CHECKING:
    from services.kit.shared.live import LiveStatus

Json = dict[str, Any]

OF_CAMPAIGNS: Final = tuple(topic.name for topic in TOPICS.values() if topic.key in ("run", "campaign"))
CAMPAIGN: Final = ("campaign", "state", "admitted", "in flight", "runs", "H_dom", "H_mode")
SERVICE: Final = ("service", "replicas", "behind")
REPLICA: Final = ("replica", "state", "open runs", "effects", "behind")


@dataclass(frozen=True, slots=True)
class Standing:
    """What was found."""

    kafka: str
    campaigns: list[Json]
    services: list[Json]
    replicas: list[Json] | None
    """What replicas say of themselves; None where no Redis can be asked."""
    dead_letters: dict[str, dict[str, int]]
    dead_text: str

    def as_json(self) -> Json:
        """For programs."""
        return {
            "kafka": self.kafka,
            "campaigns": self.campaigns,
            "services": self.services,
            "replicas": self.replicas,
            "dead_letters": self.dead_letters,
        }

    def lines(self) -> list[str]:
        """For a person."""
        said = [f"Kafka at {self.kafka}", ""]
        if self.campaigns:
            said += table(CAMPAIGN, [row(one) for one in self.campaigns])
        else:
            said.append("no campaign yet: `tds run --stack` starts one")
        said += ["", *table(SERVICE, [service_row(one) for one in self.services])]
        if self.replicas is not None:
            said += ["", *table(REPLICA, [replica_row(one) for one in self.replicas])]
        said += ["", f"dead letters: {self.dead_text}"]
        return said


def standing(stack: Stack) -> Standing:
    """How the stack stands now.

    Raises:
        LogError: no broker answers, or its topics are missing.
    """
    ledgers = {name: Ledger(name, keep="nothing") for name in campaigns(stack)}
    buried: list[Record] = []

    def take(record: Record) -> None:
        if record.topic not in TOPICS:
            buried.append(record)
            return
        ledger = ledgers.get(record.key.partition(".")[0])
        if ledger is not None:
            ledger.fold(record)

    async def looked() -> tuple[list[Json], list[LiveStatus] | None]:
        async with stack.log() as log:
            await read_to_ends(log, take, (*OF_CAMPAIGNS, *DEAD))
            live = await replicas(stack)
            return await states(log, stack, live), live

    found, live = run_through(looked)
    letters = exhume(buried)
    return Standing(
        kafka=stack.settings.kafka,
        campaigns=[campaign(ledger) for ledger in ledgers.values()],
        services=found,
        replicas=None if live is None else [one.model_dump(mode="json") for one in live],
        dead_letters=summary(letters),
        dead_text=summary_text(letters) + (" (see `tds dead list --stack`)" if letters else ""),
    )


def campaign(ledger: Ledger) -> Json:
    """A campaign in a few figures."""
    figures = ledger.figures
    return {
        "campaign": ledger.campaign,
        "state": ledger.state,
        "detail": ended(ledger),
        "asked": ledger.asked,
        "admitted": ledger.admitted_count,
        "in_flight": ledger.in_flight,
        "runs": len(ledger.runs),
        "domain_bits": figures.domain.bits,
        "mode_bits": figures.mode_exact.bits,
        "coarse_mode_bits": figures.mode_coarse.bits,
    }


async def states(log: EventLog, stack: Stack, live: Sequence[LiveStatus] | None) -> list[Json]:
    """Of each service: its replicas, and how many records it has not folded.

    Of a performer that is what its group has not committed; a decider says so itself, if Redis can be asked.
    """
    from services.kit.kafka.groups import members

    roles = services(Forbidden())
    alive = await members(stack.settings, [one.name for one in roles], patience_s=PATIENCE_S)
    ends = await log.ends(tuple(TOPICS))
    found: list[Json] = []
    for one in roles:
        behind: int | None = None
        if isinstance(one, Performer):
            committed = await log.committed(one.name)
            names = {topic.name for topic in one.inputs}
            behind = sum(end - committed.get(place, 0) for place, end in ends.items() if place[0] in names)
        elif live is not None:
            lags = [said.lag for said in live if said.service == one.name and said.state == "active"]
            behind = max(lags) if lags else None
        found.append({"service": one.name, "replicas": alive[one.name], "behind": behind})
    return found


async def replicas(stack: Stack) -> list[LiveStatus] | None:
    """What replicas have said of themselves lately; None where no Redis is named, or none answers.

    Raises:
        UserError: what is named is no Redis.
    """
    if not stack.settings.redis.get_secret_value():
        return None
    from services.kit.shared.sharing import SharedError, shared_in

    try:
        from services.kit.shared.live import read_live

        shared = shared_in(stack.settings)
    except ImportError:
        return None
    except SharedError as error:
        raise UserError(str(error), "mend or unset TDS_REDIS") from None
    try:
        found = await read_live(shared)
    finally:
        await shared.close()
    return None if found is None else list(found)


def row(one: Json) -> tuple[str, ...]:
    """A line of the campaigns' table."""
    admitted = f"{one['admitted']} of {one['asked']}"
    bits = (f"{one['domain_bits']:.2f}", f"{one['mode_bits']:.2f}")
    return one["campaign"], one["state"], admitted, str(one["in_flight"]), str(one["runs"]), *bits


def service_row(one: Json) -> tuple[str, ...]:
    """A line of the services' table."""
    return one["service"], str(one["replicas"]), "-" if one["behind"] is None else str(one["behind"])


def replica_row(one: Json) -> tuple[str, ...]:
    """A line of the replicas' table."""
    name = f"{one['service']} {one['host'] or one['replica']}"
    return name, one["state"], str(one["open_runs"]), f"{one['effects']}/{one['capacity']}", str(one["lag"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Text in columns."""
    widths = [max(len(one[column]) for one in (head, *rows)) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip()
            for one in (head, *rows)]  # fmt: skip
