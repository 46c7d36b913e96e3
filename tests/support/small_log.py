"""A small log of one campaign, made by hand: what the console's tests fold, export and show."""

from __future__ import annotations

from typing import Any

from schemas.blueprint import (
    Blueprint,
    BlueprintPlanned,
    BlueprintRejected,
    Fact,
    PlanBlueprint,
    Rejection,
    Usage,
)
from schemas.catalog import CatalogFormed, DroppedTool, ServerImported, ServerSpec, ToolSpec
from schemas.diversity import DiversityMeasured, Measurement, TrajectoryAdmitted, TrajectoryRejected
from schemas.envelope import Message
from schemas.evolution import (
    CampaignFinished,
    CampaignSpec,
    CampaignStarted,
    GenerationOpened,
    SlotAbandoned,
    SlotPlan,
    StartCampaign,
    Target,
)
from schemas.run import (
    AssistantSpoke,
    Finding,
    RunFailed,
    RunFinished,
    RunStarted,
    ToolCall,
    ToolReturned,
    UserSpoke,
    Verdict,
    run_id,
)
from services.kit.chain import Head, seal
from services.kit.log import Record
from services.kit.memory import MemoryLog
from services.kit.service import Draft

CAMPAIGN = "c7"
SPEC = CampaignSpec(campaign=CAMPAIGN, trajectories=2, seed=7, generation_size=4, catalog="tools.json")
TARGET = Target(domain="weather", shape="single", depth=1)
USAGE = Usage(calls=1, prompt_tokens=100, completion_tokens=10, usd=0.25)
TOOLS = (
    ToolSpec(
        server="sky",
        name="get_weather",
        description="Weather in a city.",
        input_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    ),
    ToolSpec(server="sky", name="list_cities", description="Known cities.", input_schema={"type": "object"}),
)


class SmallLog:
    """Appends messages with their place in the chain. ``time`` is what events are stamped with."""

    def __init__(self, time: str = "2026-01-01T00:00:00Z") -> None:
        self.log = MemoryLog()
        self.time = time
        self.heads: dict[tuple[str, str], Head] = {}

    @property
    def records(self) -> list[Record]:
        return self.log.records

    def put(self, key: str, *messages: Message) -> None:
        drafts = [Draft(key, message, CAMPAIGN) for message in messages]
        self.log.put([one.outgoing for one in seal(drafts, self.heads, "test", self.time)])

    def begin(self, spec: CampaignSpec = SPEC) -> None:
        self.put(CAMPAIGN, StartCampaign(spec=spec))
        server = ServerSpec(id="sky", domains=("weather",), tools=TOOLS)
        dropped = (DroppedTool(name="x", reason="bad_schema: no object"),)
        self.put("sky", ServerImported(server=server, dropped=dropped))
        self.put("catalog", CatalogFormed(hash="cafe", clusters=("sky#1",), servers=1, tools=2, edges=0))
        started = CampaignStarted(spec=spec, catalog_hash="cafe", domains=("weather", "time"), code=False)
        slots = tuple(
            SlotPlan(slot=slot, cluster="sky#1", cluster_hash="beef", target=TARGET, seed=slot)
            for slot in range(4)
        )
        self.put(
            CAMPAIGN,
            started,
            GenerationOpened(campaign=CAMPAIGN, generation=0, steering_version=0, slots=slots),
        )

    def plan(self, slot: int, attempt: int = 1, retry: int = 0) -> str:
        run = run_id(CAMPAIGN, slot, attempt, retry)
        command = PlanBlueprint(
            run=run,
            campaign=CAMPAIGN,
            generation=0,
            slot=slot,
            attempt=attempt,
            retry=retry,
            seed=slot,
            catalog_hash="cafe",
            cluster="sky#1",
            cluster_hash="beef",
            target=TARGET,
        )
        self.put(run, command)
        return run

    def refuse(self, slot: int, attempt: int = 1) -> None:
        run = self.plan(slot, attempt)
        rejected = BlueprintRejected(
            run=run,
            campaign=CAMPAIGN,
            generation=0,
            slot=slot,
            attempt=attempt,
            content=True,
            attribution="planner",
            rejections=(Rejection(code="cyclic", detail="s1 needs s1"),),
            usage=USAGE,
        )
        self.put(run, rejected)

    def converse(self, slot: int, attempt: int = 1, retry: int = 0, city: str = "Oslo") -> str:
        run = self.plan(slot, attempt, retry)
        self.put(run, BlueprintPlanned(blueprint=blueprint(run, slot, attempt, city), usage=USAGE))
        calls = (
            ToolCall(id="call_1_0", name="get_weather", arguments=f'{{"city": "{city}"}}'),
            ToolCall(id="call_1_1", name="list_cities", arguments="{}"),
        )
        self.put(
            run,
            RunStarted(run=run, campaign=CAMPAIGN, blueprint_event="e"),
            UserSpoke(run=run, turn=0, content=f"How is the weather in {city}?"),
            AssistantSpoke(run=run, turn=1, content="Let me look.", calls=calls, usage=USAGE),
            ToolReturned(run=run, turn=2, call="call_1_0", name="get_weather", content='{"sky": "clear"}'),
            ToolReturned(run=run, turn=3, call="call_1_1", name="list_cities", content=f'["{city}"]'),
            AssistantSpoke(run=run, turn=4, content="It is clear.", usage=USAGE),
            UserSpoke(run=run, turn=5, content="Thank you!", ends=True),
        )
        return run

    def finish(self, run: str, *findings: Finding) -> None:
        slot, attempt = (int(part) for part in run.split(".")[1:3])
        verdict = Verdict(passed=not findings, findings=findings)
        self.put(
            run,
            RunFinished(
                run=run,
                campaign=CAMPAIGN,
                generation=0,
                slot=slot,
                attempt=attempt,
                verdict=verdict,
                actions=(),
                content_hash=run,
                usage=USAGE + USAGE + USAGE,
            ),
        )

    def fail(self, run: str, **changes: Any) -> None:
        slot, attempt = (int(part) for part in run.split(".")[1:3])
        fields: dict[str, Any] = {
            "content": True,
            "attribution": "assistant",
            "code": "empty_reply",
            "usage": USAGE,
        } | changes
        self.put(
            run,
            RunFailed(run=run, campaign=CAMPAIGN, generation=0, slot=slot, attempt=attempt, **fields),
        )

    def measure(self, run: str, signature: str = "{read*2}>answer") -> None:
        measurement = Measurement(
            signature=signature,
            mode="parallel/2",
            domains={"weather": 1.0},
            complexity=6.5,
            band=1,
            steps=3,
            tools=("get_weather", "list_cities"),
            content_hash=run,
        )
        slot = int(run.split(".")[1])
        self.put(
            CAMPAIGN,
            DiversityMeasured(run=run, campaign=CAMPAIGN, generation=0, slot=slot, measurement=measurement),
        )

    def admit(self, run: str, row: int) -> None:
        slot = int(run.split(".")[1])
        self.put(CAMPAIGN, TrajectoryAdmitted(campaign=CAMPAIGN, generation=0, slot=slot, run=run, row=row))

    def reject(self, run: str, gate: str = "duplicate") -> None:
        slot = int(run.split(".")[1])
        evidence = "the same as row 0"
        self.put(
            CAMPAIGN,
            TrajectoryRejected(
                campaign=CAMPAIGN, generation=0, slot=slot, run=run, gate=gate, evidence=evidence
            ),
        )

    def abandon(self, slot: int, *reasons: str) -> None:
        self.put(CAMPAIGN, SlotAbandoned(campaign=CAMPAIGN, generation=0, slot=slot, reasons=reasons))

    def end(self, admitted: int, *, complete: bool = True, detail: str = "") -> None:
        reason = "trajectories" if complete else "stopped"
        self.put(
            CAMPAIGN,
            CampaignFinished(
                campaign=CAMPAIGN,
                reason=reason,
                complete=complete,
                admitted=admitted,
                slots=4,
                detail=detail,
            ),
        )


def blueprint(run: str, slot: int, attempt: int, city: str) -> Blueprint:
    return Blueprint(
        id=run,
        campaign=CAMPAIGN,
        generation=0,
        slot=slot,
        attempt=attempt,
        seed=100 + slot,
        catalog_hash="cafe",
        cluster="sky#1",
        cluster_hash="beef",
        domains=("weather",),
        tool_domains={"get_weather": "weather", "list_cities": "travel"},
        persona="a sailor",
        goal=f"How is the weather in {city}?",
        facts=(Fact(name="city", label="city", value=city),),
        initial_state={},
        steps=(),
        tools=TOOLS,
        target=TARGET,
    )


def whole() -> SmallLog:
    """Two admitted of slots 1 and 0 (decided late first), a duplicate, and a slot given up."""
    log = SmallLog()
    log.begin()
    runs = [log.converse(slot, city=city) for slot, city in ((0, "Oslo"), (1, "Rome"), (2, "Oslo"))]
    for run in reversed(runs):
        log.finish(run)
        log.measure(run, f"signature of {run}")
    log.refuse(3)
    log.fail(log.converse(3, 2))
    log.finish(log.converse(3, 3), Finding(code="leaked_plan", attribution="user", detail="said s1"))
    log.admit(runs[1], 1)
    log.admit(runs[0], 0)
    log.reject(runs[2])
    log.abandon(3, "planner: cyclic", "assistant: empty_reply", "user: leaked_plan")
    log.end(2)
    return log
