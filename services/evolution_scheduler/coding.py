"""Which slots aim at code: whether the sandbox allows it, and what code adds to a cell.

A step of code works on what the other steps returned, so it comes on top of a cell that the cluster can
serve without it: one call more, after them.
"""

from __future__ import annotations

import random
from typing import Final

from schemas.evolution import CampaignSpec, CampaignStarted, Shape, SlotPlan, Target
from schemas.sandbox import SandboxAnnounced
from services.evolution_scheduler import terrain
from services.evolution_scheduler.targets import band

LANGUAGE: Final = "python"
DAG_DEPTH: Final = 3
"""A dag of fewer calls is none."""
GOLDEN: Final = 0.6180339887498949
"""Multiples of it, modulo 1, leave no stretch of slots without its share."""
WITH_CODE: Final[dict[Shape, Shape]] = {"single": "chain", "chain": "chain", "parallel": "dag", "dag": "dag"}


def forbids(spec: CampaignSpec, sandbox: SandboxAnnounced) -> str:
    """Why no slot of a campaign may aim at code; empty where some may."""
    if spec.code == "off":
        return "not asked for; see --code"
    if not sandbox.safe:
        return sandbox.reason or "no safe sandbox"
    return "" if LANGUAGE in sandbox.languages else f"the sandbox does not run {LANGUAGE}"


def missing(started: CampaignStarted) -> bool:
    """Whether a campaign cannot be had without code, and cannot have it."""
    return started.spec.code == "on" and not started.code


def aimed(plan: SlotPlan, started: CampaignStarted) -> SlotPlan:
    """The plan, with code on top of its cell where it is this slot's turn."""
    target = plan.target
    if not started.code or "codes" in target.flags or not has_turn(started.spec, plan.slot):
        return plan
    flags, depth = (*target.flags, "codes"), target.depth + 1
    changes = {
        "shape": WITH_CODE[target.shape],
        "depth": depth,
        "flags": flags,
        "band": band(depth, target.flags),
    }
    return plan.model_copy(update={"target": target.model_copy(update=changes)})


def bare(target: Target) -> Target:
    """The cell that code was put on top of, or one that gives the same with code on top."""
    if "codes" not in target.flags:
        return target
    depth = max(1, target.depth - 1)
    shape = target.shape
    if shape == "chain" and depth == 1:
        shape = "single"
    elif shape == "dag" and depth < DAG_DEPTH:
        shape = "parallel" if depth > 1 else "single"
    flags = tuple(flag for flag in target.flags if flag != "codes")
    return terrain.aimed(target.domain, shape, depth, flags, target.conditions)


def has_turn(spec: CampaignSpec, slot: int) -> bool:
    """Whether a slot is one of those that aim at code: their share is the same all along the campaign."""
    first = random.Random(f"{spec.seed}/code").random()
    return (first + slot * GOLDEN) % 1.0 < spec.code_share
