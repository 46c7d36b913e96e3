"""The blueprint-planner, wired: the domain, the model that plans, and the checker behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from schemas.blueprint import Blueprint, BlueprintPlanned, BlueprintRejected, PlanBlueprint, Rejection, Usage
from schemas.envelope import payload
from schemas.evolution import RoleModel
from schemas.topics import BLUEPRINT_COMMANDS, BLUEPRINT_EVENTS, CATALOG_EVENTS
from services.blueprint_planner import domain, prompts
from services.blueprint_planner.completion import offered
from services.blueprint_planner.planning import plan
from services.kit.kafka.hosting import on_kafka
from services.kit.models.chat import ChatModel, ChatReply, ChatRequest, ModelFailed
from services.kit.models.openai_wire import is_sim_named
from services.kit.service import Draft, Performer
from services.sim.actors import SimModel
from services.sim.code_tool import simulated
from services.worlds.world import World

NAME: Final = "blueprint-planner"
MAX_TOKENS: Final = 4096
MAX_EVENT_BYTES: Final = BLUEPRINT_EVENTS.max_bytes - 8192
"""Room is left for the event's other fields."""


def service(model: ChatModel) -> Performer:
    """The planner as a performer that asks ``model``.

    Dry runs and checks take milliseconds: one is made in a turn of the event loop, in the order asked for,
    so that the first runs begin while later ones are still being planned. A thread would compute no more
    beside Python's lock, and switch to and fro.
    """
    turn = asyncio.Lock()

    async def perform(effect: domain.Plan) -> Sequence[Draft]:
        async with turn:
            await asyncio.sleep(0)
            request = make_request(effect)
            digest = request.digest()
        try:
            reply = await model.complete(request)
        except ModelFailed as failure:
            return [failed(effect.command, failure, effect.cause, digest)]
        async with turn:
            await asyncio.sleep(0)
            return [decided(effect, reply, digest)]

    return Performer(
        name=NAME,
        lead=BLUEPRINT_COMMANDS,
        inputs=(BLUEPRINT_COMMANDS, BLUEPRINT_EVENTS),
        initial=domain.initial,
        evolve=domain.evolve,
        next_step=domain.next_step,
        perform=perform,
        gave_up=gave_up,
        references=(CATALOG_EVENTS,),
        initial_reference=domain.Clusters,
        refer=domain.refer,
        folds=domain.FOLDS,
    )


def make_request(effect: domain.Plan) -> ChatRequest:
    """What the planner's model is asked; a sim is handed the command and the tools instead of the prompt."""
    command, cluster = effect.command, effect.planned_with
    planner = command.models.get("planner", RoleModel())
    tools = offered(command, effect.cluster, effect.others)
    if is_sim_named(planner.model):
        messages: tuple[dict[str, object], ...] = ({"role": "user", "content": "Plan the task."},)
        places = {id(tool): place for place, tool in enumerate(tools)}
        script = {
            "command": command.model_dump(mode="json", exclude_defaults=True),
            "cluster": cluster.model_dump(mode="json", exclude_defaults=True, exclude={"tools"}),
            "members": [places[id(tool)] for tool in cluster.tools],
            "tools": [tool.model_dump(mode="json", exclude_defaults=True) for tool in tools],
        }
    else:
        world = World(simulated(tools), command.seed)
        messages, script = prompts.messages(command, cluster, world, world.initial()), None
    return ChatRequest(
        role="planner",
        run=command.run,
        turn=0,
        model=planner.model,
        base_url=planner.base_url,
        messages=messages,
        json_schema=prompts.reply_schema(),
        seed=command.seed,
        max_tokens=MAX_TOKENS,
        script=script,
    )


def decided(effect: domain.Plan, reply: ChatReply, digest: str) -> Draft:
    """The event for a reply: the checked blueprint, or what is wrong with it."""
    usage = Usage(
        calls=1, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens, usd=reply.usd
    )
    outcome = plan(effect.command, effect.cluster, effect.others, reply.content, effect.domains)
    if isinstance(outcome, Blueprint):
        event = BlueprintPlanned(blueprint=outcome, usage=usage, request=digest)
        value = payload(event)
        if len(value) <= MAX_EVENT_BYTES:
            return replace(draft_of(effect.command, event, effect.cause), value=value)
        outcome = (Rejection(code="oversized", detail=f"{len(value)} bytes; at most {MAX_EVENT_BYTES}"),)
    return draft_of(effect.command, rejected(effect.command, outcome, usage, digest), effect.cause)


def rejected(
    command: PlanBlueprint, rejections: tuple[Rejection, ...], usage: Usage, digest: str
) -> BlueprintRejected:
    """The event for a plan that was refused: the planner's fault, and another attempt may do better."""
    return BlueprintRejected(
        run=command.run,
        campaign=command.campaign,
        generation=command.generation,
        slot=command.slot,
        attempt=command.attempt,
        content=True,
        attribution="planner",
        rejections=rejections,
        usage=usage,
        request=digest,
    )


def failed(command: PlanBlueprint, failure: ModelFailed, cause: str, digest: str = "") -> Draft:
    """The event for a model that gave no reply."""
    event = BlueprintRejected(
        run=command.run,
        campaign=command.campaign,
        generation=command.generation,
        slot=command.slot,
        attempt=command.attempt,
        content=not failure.infrastructure,
        attribution="infrastructure" if failure.infrastructure else "model",
        rejections=(Rejection(code=failure.code, detail=failure.detail[:500]),),
        request=digest,
    )
    return draft_of(command, event, cause)


def draft_of(command: PlanBlueprint, event: BlueprintPlanned | BlueprintRejected, cause: str) -> Draft:
    """An event of this run about to be appended."""
    return Draft(key=command.run, data=event, correlation=command.campaign, cause=cause)


def gave_up(_state: domain.Run, effect: domain.Plan, error: BaseException) -> Sequence[Draft]:
    """What is appended when planning itself raised for the last time: a failure of infrastructure."""
    failure = ModelFailed("planner_failed", f"{type(error).__name__}: {error}", infrastructure=True)
    return [failed(effect.command, failure, effect.cause)]


__getattr__ = on_kafka(service, SimModel, ("services.worlds.machines", "services.kit.models.openai_http"))
