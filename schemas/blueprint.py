"""Blueprints: what a trajectory is meant to do, before anyone does it. Owner: blueprint-planner."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schemas.catalog import Json, ToolSpec
from schemas.envelope import Alternative, Message, Value
from schemas.evolution import Allowance, Role, RoleModel, Target


class Usage(Value):
    """What model calls have cost. ``usd`` is 0 where no price is known."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """The sum, field by field."""
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            usd=self.usd + other.usd,
        )

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


class FromFact(Alternative):
    """An argument that the user holds: the value of the fact of this name."""

    kind: Literal["fact"] = "fact"
    fact: str


class FromStep(Alternative):
    """An argument that an earlier step's observation holds, at ``path`` (keys and indices)."""

    kind: Literal["step"] = "step"
    step: str
    path: tuple[str | int, ...]


class Constant(Alternative):
    """An argument that the tool's own schema fixes: a default, a const or an enum member."""

    kind: Literal["constant"] = "constant"
    value: Any


class ObjectOf(Alternative):
    """An object argument, field by field."""

    kind: Literal["object"] = "object"
    fields: dict[str, Source]


class ListOf(Alternative):
    """An array argument, item by item."""

    kind: Literal["list"] = "list"
    items: tuple[Source, ...]


Source = Annotated[FromFact | FromStep | Constant | ObjectOf | ListOf, Field(discriminator="kind")]


class Filter(Alternative):
    """Code that keeps the records whose ``field`` is over, under or equal to ``than``.

    Its result: ``{"count": …, "matches": [the kept records' show, …]}``. Dates compare as ISO texts.
    ``rows``, here and below, are records and lists of records, taken together.
    """

    kind: Literal["filter"] = "filter"
    rows: tuple[FromStep, ...]
    field: str
    keep: Literal["over", "under", "is"]
    than: FromFact | FromStep
    show: str


class Join(Alternative):
    """Code that puts two results together, ``key`` to ``other_key``, and finds the extreme of ``field``.

    Its result: ``{"matched": …, "highest" or "lowest": …, "of": show of the other record}``.
    """

    kind: Literal["join"] = "join"
    rows: tuple[FromStep, ...]
    others: tuple[FromStep, ...]
    key: str
    other_key: str
    field: str
    by: Literal["highest", "lowest"]
    show: str


class Aggregate(Alternative):
    """Code that makes one value of a ``field``, or of its product with ``times``, over all records.

    Its result: ``{"total": …}``, ``{"average": …}`` or ``{"highest" or "lowest": …, "of": its show}``.
    Sums, averages and products have two decimals.
    """

    kind: Literal["aggregate"] = "aggregate"
    rows: tuple[FromStep, ...]
    field: str
    by: Literal["total", "average", "highest", "lowest"]
    times: str = ""
    show: str = ""


class Convert(Alternative):
    """Code that adds up a ``field``, or the time from it to ``until``, and says it in another unit.

    Its result: ``{"value": …, "unit": unit}``, with two decimals.
    """

    kind: Literal["convert"] = "convert"
    rows: tuple[FromStep, ...]
    field: str
    unit: Literal["minutes", "hours", "days", "weeks", "kilobytes"]
    until: str = ""


class Check(Alternative):
    """Code that checks what is claimed of the total of a ``field``, or of its product with ``times``.

    Its result: ``{"verdict": "correct" or "incorrect", "actual": …, "difference": actual − claim}``.
    """

    kind: Literal["check"] = "check"
    rows: tuple[FromStep, ...]
    field: str
    claim: FromFact | FromStep
    times: str = ""


Work = Annotated[Filter | Join | Aggregate | Convert | Check, Field(discriminator="kind")]
"""What a step's code works out of what earlier steps returned: ours, not the paper's."""


class Fact(Value):
    """Something the user knows. ``label`` is how the user calls it ("order number").

    ``asked``: it is told only when the assistant asks for it, not in the opening.
    """

    name: str
    label: str
    value: Any
    asked: bool = False


class Fault(Value):
    """An error that the tool simulator gives instead of a result, the first ``times`` times."""

    error: Literal["timeout", "rate_limited", "unavailable"]
    times: int = 1


class Step(Value):
    """One tool call of the plan.

    ``after`` names steps that must have been answered first, beside those its arguments refer to.
    Steps of the same ``wave`` do not depend on one another and may go out in one turn.
    """

    id: str
    tool: str
    arguments: dict[str, Source] = Field(default_factory=dict)
    wave: int = 0
    after: tuple[str, ...] = ()
    expected: Any = None
    """The observation that the plan expects, whole."""
    fault: Fault | None = None
    purpose: str = ""
    """What the user would call this step, an imperative clause: "find my open invoices"."""
    work: Work | None = None
    """Of a call of the code tool, what its code works out. Its arguments are the assistant's, so none are
    planned; ``expected`` is the result, which the code prints as JSON."""


class Assertion(Value):
    """Must hold for the world's state at the end.

    ``equals``: the value at ``path`` is ``value``; ``absent``: there is nothing at ``path``;
    ``contains``: the collection at ``path`` has an element that has all fields of ``value``.
    """

    path: tuple[str | int, ...]
    op: Literal["equals", "absent", "contains"]
    value: Any = None


class AnswerFact(Value):
    """What the final answer must report: the value at ``path`` of a step's observation."""

    label: str
    step: str
    path: tuple[str | int, ...]


class Blueprint(Value):
    """The plan of one run. ``id`` is the run's id. Neither the assistant nor the user sees it whole.

    ``tools`` are all tools offered to the assistant, ``distractors`` the names of those that no step
    uses. ``initial_state`` is the world before the first call, per server.
    """

    id: str
    campaign: str
    generation: int
    slot: int
    attempt: int
    seed: int
    catalog_hash: str
    cluster: str
    cluster_hash: str
    domains: tuple[str, ...]
    tool_domains: dict[str, str] = Field(default_factory=dict)
    """Domain of each tool of ``tools``, by tool name."""
    persona: str
    goal: str
    """The request, in the user's words, with the facts of the opening in it."""
    facts: tuple[Fact, ...]
    initial_state: Json
    steps: tuple[Step, ...]
    tools: tuple[ToolSpec, ...]
    distractors: tuple[str, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    answer_facts: tuple[AnswerFact, ...] = ()
    target: Target
    complexity: float = 0.0
    """Planned cumulative action complexity."""
    code: bool = False
    operator: str = "draw"
    parent: str = ""
    mate: str = ""
    steering_version: int = 0
    models: dict[Role, RoleModel] = Field(default_factory=dict)
    allowance: Allowance = Allowance()
    max_turns: int = 24


class PlanBlueprint(Message):
    """Command: plan one attempt of one slot, from exactly this cluster, catalog and steering.

    ``retry`` counts repetitions of the same attempt after a failure of infrastructure: they have the
    same seed. ``partner``, ``prefer`` and ``scatter``: see ``schemas.evolution.SlotPlan``.
    """

    FAMILY: ClassVar[str] = "blueprint"
    run: str
    campaign: str
    generation: int
    slot: int
    attempt: int
    retry: int = 0
    seed: int
    catalog_hash: str
    cluster: str
    cluster_hash: str
    target: Target
    operator: str = "draw"
    parent: str = ""
    mate: str = ""
    partner: str = ""
    partner_hash: str = ""
    prefer: tuple[int, ...] = ()
    scatter: int = 0
    steering_version: int = 0
    avoid: tuple[str, ...] = ()
    allowance: Allowance = Allowance()
    code: bool = False
    """Whether the assistant is offered the code tool; a target with the flag ``codes`` has a step for it."""
    packages: tuple[str, ...] = ()
    """What code may import beside the standard library, name and version each."""
    max_turns: int = 24
    models: dict[Role, RoleModel] = Field(default_factory=dict)


class Rejection(Value):
    """Why a plan was refused: a code that can be counted, and the particulars."""

    code: str
    detail: str = ""


class BlueprintPlanned(Message):
    """A blueprint that has passed the static checker."""

    FAMILY: ClassVar[str] = "blueprint"
    blueprint: Blueprint
    usage: Usage = Usage()
    request: str = ""
    """Digest of the request that the model answered."""


class BlueprintRejected(Message):
    """No blueprint for this run.

    ``content``: the plan was bad (another attempt may do better); otherwise the planner could not
    work, which never decides a slot.
    """

    FAMILY: ClassVar[str] = "blueprint"
    run: str
    campaign: str
    generation: int
    slot: int
    attempt: int
    content: bool
    attribution: Literal["planner", "model", "infrastructure"]
    rejections: tuple[Rejection, ...]
    usage: Usage = Usage()
    request: str = ""
