"""A draft in, a blueprint or the reasons against it out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from schemas.blueprint import Blueprint, PlanBlueprint, Rejection
from schemas.catalog import Cluster, ToolSpec
from services.blueprint_planner.checker import check
from services.blueprint_planner.completion import Refused, complete
from services.blueprint_planner.prompts import PlanDraft

FENCE = re.compile(r"^```\w*\s*|\s*```$")


def plan(
    command: PlanBlueprint,
    cluster: Cluster,
    distractors: Sequence[ToolSpec],
    draft: Any,
    domains: Sequence[str] = (),
) -> Blueprint | tuple[Rejection, ...]:
    """The checked blueprint of a draft, or why there is none.

    ``draft`` is a JSON value or its text, as a model wrote it; ``domains`` are those of the distractors.
    """
    try:
        value = json.loads(FENCE.sub("", draft.strip())) if isinstance(draft, str) else draft
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair has no place in an event
        parsed = PlanDraft.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return (Rejection(code="not_a_plan", detail=f"at {where or 'the top'}: {first['msg']}"[:500]),)
    except (ValueError, RecursionError) as error:
        return (Rejection(code="not_json", detail=str(error)[:500]),)
    if not parsed.steps and parsed.reason:
        return (Rejection(code="impossible_mode", detail=parsed.reason[:500]),)
    try:
        blueprint = complete(command, cluster, distractors, parsed, domains)
    except Refused as refused:
        return refused.rejections
    return check(blueprint) or blueprint
