"""Campaigns, generations and slots. Owner: evolution-scheduler; commands come from the console."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.envelope import Message, Value

Role = Literal["planner", "user", "assistant", "tools", "judge"]
ROLES: tuple[Role, ...] = ("planner", "user", "assistant", "tools", "judge")
Shape = Literal["single", "chain", "parallel", "dag"]
Flag = Literal["clarifies", "recovers", "codes", "refuses"]
Policy = Literal["tools", "random", "steering", "evolution", "steered"]
"""How slots are chosen: tools at random, clusters at random, by target weights, by operators on parents,
and by both. Empty in logs from before there were policies: cells drawn uniformly."""
Operator = Literal["draw", "deepen", "widen", "constrain", "inject_fault", "make_vague", "cross"]


class RoleModel(Value):
    """Which model plays a role. ``model`` is ``sim``, ``sim?option=value&…`` or a litellm model name."""

    model: str = "sim"
    base_url: str = ""


class Allowance(Value):
    """What one attempt of one slot may spend. 0 means: no limit of this kind."""

    usd: float = 0.0
    tokens: int = 0


class Target(Value):
    """The cell of the archive that a slot aims at.

    ``depth`` is the number of tool calls aimed at; ``band`` is the complexity band (0 to 3) that this
    depth and these flags lead to. ``conditions`` is how many optional arguments each call should have.
    """

    domain: str
    shape: Shape
    depth: int
    flags: tuple[Flag, ...] = ()
    band: int = 0
    conditions: int = 0


class CampaignSpec(Value):
    """What was asked for. All of it is recorded; nothing of it depends on concurrency."""

    campaign: str
    trajectories: int
    seed: int
    generation_size: int = Field(default=25, ge=1, le=2048)
    lookahead: int = Field(default=2, ge=1)
    max_slots: int = 0
    """Slots after which the campaign ends short of its goal; 0 means 4 × trajectories."""
    attempts: int = 3
    budget_usd: float = 0.0
    budget_tokens: int = 0
    allowance: Allowance = Allowance()
    signature_cap: int = 0
    """Admitted trajectories that may share an exact reasoning signature; 0 means no cap."""
    min_gain: float = 0.0
    """What a trajectory must add, as a share of what those admitted have added on average; 0: anything."""
    policy: Policy | Literal[""] = ""
    max_turns: int = 24
    code: Literal["off", "on", "auto"] = "off"
    """Whether slots aim at code: none; a share of them, or the campaign ends; auto: where a sandbox can."""
    code_share: float = 0.5
    """Share of the slots that aim at code, where there is any."""
    models: dict[Role, RoleModel] = Field(default_factory=dict)
    catalog: str = ""
    """Name of the catalog the campaign runs on, for the card."""
    catalog_hash: str = ""
    """The catalog to run on; empty: the first one that was formed."""


class StartCampaign(Message):
    """Command: begin a campaign."""

    FAMILY: ClassVar[str] = "evolution"
    spec: CampaignSpec


class ControlCampaign(Message):
    """Command: pause, resume or stop.

    An order without ``at_sequence`` takes effect at once. Replay sets it, and ``at_admitted``, to where
    the campaign stood when the order was carried out: the same decision then follows from the log.
    """

    FAMILY: ClassVar[str] = "evolution"
    campaign: str
    action: Literal["pause", "resume", "stop"]
    reason: str = ""
    nonce: str = ""
    """Tells two equal orders apart."""
    at_sequence: int = 0
    at_admitted: int | None = None


class CampaignStarted(Message):
    """The campaign with everything it depends on: the catalog's hash and what the sandbox offered."""

    FAMILY: ClassVar[str] = "evolution"
    spec: CampaignSpec
    catalog_hash: str
    domains: tuple[str, ...]
    code: bool
    sandbox: str = ""
    """What the sandbox announced, in words."""
    infeasible: tuple[str, ...] = ()
    """Kinds of cell that no slot will aim at, each with its reason."""
    packages: tuple[str, ...] = ()
    """Where ``code``: what code may import beside the standard library, name and version each."""
    modes: tuple[str, ...] = ()
    """The coarse modes that some cluster can give: what the mode weights are over."""


class Spare(Value):
    """A cluster that a slot falls back on, and the places of its tools that are preferred."""

    cluster: str
    prefer: tuple[int, ...] = ()


class SlotPlan(Value):
    """One slot of a generation: what to plan from, and what to aim at.

    ``parent`` and ``mate`` are the runs that the operator works on; ``partner`` is the cluster of the second
    one, whose tools are planned with as well. ``spares`` are for further attempts, where the first gives
    no plan. ``prefer`` are the places of tools that no trajectory has called, in the cluster and behind it
    in the partner, whose tools of equal names do not count.
    ``scatter`` > 0: so many tools, drawn from the whole catalog, instead of the cluster's.
    """

    slot: int
    cluster: str
    cluster_hash: str
    target: Target
    seed: int
    operator: str = "draw"
    parent: str = ""
    mate: str = ""
    partner: str = ""
    spares: tuple[Spare, ...] = ()
    prefer: tuple[int, ...] = ()
    scatter: int = 0


class OperatorYield(Value):
    """What an operator has brought: slots decided, and the sum of their rewards, each from 0 to 1."""

    operator: str
    slots: int
    reward: float


class GenerationOpened(Message):
    """A generation of slots, planned with the steering of generation − lookahead (0: none yet).

    ``yields`` is the evidence that operators were chosen by, up to the same generation.
    """

    FAMILY: ClassVar[str] = "evolution"
    campaign: str
    generation: int
    steering_version: int
    slots: tuple[SlotPlan, ...]
    allowance: Allowance = Allowance()
    yields: tuple[OperatorYield, ...] = ()


class SlotAbandoned(Message):
    """A slot that no attempt filled, outside the campaign's sequence. ``reasons``: one an attempt."""

    FAMILY: ClassVar[str] = "evolution"
    campaign: str
    generation: int
    slot: int
    reasons: tuple[str, ...]


class CampaignPaused(Message):
    """Nothing new is started until ControlCampaign resume. Stands outside the campaign's sequence."""

    FAMILY: ClassVar[str] = "evolution"
    campaign: str
    reason: str
    cause: str = ""


class CampaignResumed(Message):
    """The campaign goes on. Stands outside the campaign's sequence."""

    FAMILY: ClassVar[str] = "evolution"
    campaign: str
    cause: str = ""


class CampaignFinished(Message):
    """The end, and why. ``complete`` is false when fewer than the asked-for trajectories were admitted."""

    FAMILY: ClassVar[str] = "evolution"
    campaign: str
    reason: Literal["trajectories", "slots", "budget", "infeasible", "stopped"]
    complete: bool
    admitted: int
    slots: int
    detail: str = ""
    cause: str = ""
    """Nonce of the command that stopped it, if one did."""
