"""THE table: every topic, who owns it, how it is keyed and partitioned, what it carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from schemas import blueprint, catalog, diversity, evolution, run, sandbox
from schemas.envelope import Message

RUN_PARTITIONS: Final = 64
KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    ``key`` says what a message's key is. Topics keyed by run have ``partitions`` partitions and a
    run's partition is its slot modulo that count; all others have one. ``sequenced`` events form a
    chain per key; commands and the messages of ``loose`` stand outside of it and are told apart by id.
    """

    name: str
    owner: str
    key: Literal["server", "campaign", "run", "backend"]
    partitions: int
    max_bytes: int
    messages: tuple[type[Message], ...]
    sequenced: bool = True
    loose: tuple[type[Message], ...] = ()

    def partition(self, key: str) -> int:
        """The partition that ``key`` belongs to.

        Raises:
            ValueError: when the topic is keyed by run and ``key`` is no run id.
        """
        return run.slot_of(key) % self.partitions if self.key == "run" else 0

    @property
    def dead(self) -> str:
        """Name of the topic that its dead letters go to."""
        return f"{self.name}.dead"


CATALOG_COMMANDS: Final = Topic(
    "tds.catalog.commands", "console", "server", 1, 4 * MIB,
    (catalog.ImportServer, catalog.RetireServer, catalog.FormClusters), sequenced=False,
)  # fmt: skip
CATALOG_EVENTS: Final = Topic(
    "tds.catalog.events", "cluster-registry", "server", 1, 4 * MIB,
    (catalog.ServerImported, catalog.ServerRejected, catalog.ServerRetired, catalog.ClusterFormed,
     catalog.CatalogFormed),
)  # fmt: skip
EVOLUTION_COMMANDS: Final = Topic(
    "tds.evolution.commands", "console", "campaign", 1, 64 * KIB,
    (evolution.StartCampaign, evolution.ControlCampaign), sequenced=False,
)  # fmt: skip
EVOLUTION_EVENTS: Final = Topic(
    "tds.evolution.events", "evolution-scheduler", "campaign", 1, 1 * MIB,
    (evolution.CampaignStarted, evolution.GenerationOpened, evolution.SlotAbandoned, evolution.CampaignPaused,
     evolution.CampaignResumed, evolution.CampaignFinished),
    loose=(evolution.SlotAbandoned, evolution.CampaignPaused, evolution.CampaignResumed),
)  # fmt: skip
BLUEPRINT_COMMANDS: Final = Topic(
    "tds.blueprint.commands", "evolution-scheduler", "run", RUN_PARTITIONS, 64 * KIB,
    (blueprint.PlanBlueprint,), sequenced=False,
)  # fmt: skip
BLUEPRINT_EVENTS: Final = Topic(
    "tds.blueprint.events", "blueprint-planner", "run", RUN_PARTITIONS, 1 * MIB,
    (blueprint.BlueprintPlanned, blueprint.BlueprintRejected),
)  # fmt: skip
RUN_EVENTS: Final = Topic(
    "tds.run.events", "agent-runner", "run", RUN_PARTITIONS, 1 * MIB,
    (run.RunStarted, run.UserSpoke, run.AssistantSpoke, run.ToolReturned, run.RunFinished, run.RunFailed),
)  # fmt: skip
SANDBOX_COMMANDS: Final = Topic(
    "tds.sandbox.commands", "agent-runner", "run", RUN_PARTITIONS, 1 * MIB,
    (sandbox.ExecuteCode,), sequenced=False,
)  # fmt: skip
SANDBOX_EVENTS: Final = Topic(
    "tds.sandbox.events", "sandbox-exec", "run", RUN_PARTITIONS, 1 * MIB, (sandbox.CodeExecuted,),
)  # fmt: skip
SANDBOX_STATUS: Final = Topic(
    "tds.sandbox.status", "sandbox-exec", "backend", 1, 64 * KIB,
    (sandbox.SandboxAnnounced,), sequenced=False,
)  # fmt: skip
DIVERSITY_EVENTS: Final = Topic(
    "tds.diversity.events", "diversity-monitor", "campaign", 1, 1 * MIB,
    (diversity.DiversityMeasured, diversity.TrajectoryAdmitted, diversity.TrajectoryRejected,
     diversity.SteeringUpdated),
    loose=(diversity.DiversityMeasured,),
)  # fmt: skip

TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        CATALOG_COMMANDS,
        CATALOG_EVENTS,
        EVOLUTION_COMMANDS,
        EVOLUTION_EVENTS,
        BLUEPRINT_COMMANDS,
        BLUEPRINT_EVENTS,
        RUN_EVENTS,
        SANDBOX_COMMANDS,
        SANDBOX_EVENTS,
        SANDBOX_STATUS,
        DIVERSITY_EVENTS,
    )
}
TOPIC_OF: Final[dict[type[Message], Topic]] = {
    message: topic for topic in TOPICS.values() for message in topic.messages
}
MESSAGES: Final[dict[str, type[Message]]] = {message.type_name(): message for message in TOPIC_OF}


def sequenced(message: type[Message]) -> bool:
    """Whether messages of this type stand in their key's chain."""
    topic = TOPIC_OF[message]
    return topic.sequenced and message not in topic.loose
