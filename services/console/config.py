"""What a run is asked for: the same names as flags, in a file, and in the environment.

A value is taken from the flag, else from ``TDS_NAME`` in the environment (``TDS_MODEL_ASSISTANT`` for a
role), else from the file, else the default. The roles' models and base URLs are merged role by role.
Paths are relative to the folder the command is typed in, wherever they stand.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.evolution import ROLES, Allowance, CampaignSpec, Policy, RoleModel
from services.console.errors import UserError

PREFIX: Final = "TDS_"
ALL: Final = "all"
"""Stands for every role that is not named itself."""
PER_ROLE: Final = ("model", "base_url")
BUILT_IN: Final = "built-in"


class RunConfig(BaseModel):
    """Everything that ``tds run`` can be asked for. Only ``concurrency`` does not change the dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalog: Path | None = None
    """A catalog file; None: the built-in catalog."""
    trajectories: int = Field(default=100, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, lt=2**63)
    out: Path | None = None
    """The campaign's folder; None: ``out/CAMPAIGN``."""
    campaign: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    """Name of the campaign; empty: ``cSEED``."""
    model: dict[str, str] = Field(default_factory=dict)
    """Model of each role; ``sim`` where none is given."""
    base_url: dict[str, str] = Field(default_factory=dict)
    concurrency: int = Field(default=16, ge=1, le=4096)
    """Calls of models and tools under way at once."""
    budget_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    budget_tokens: int = Field(default=0, ge=0)
    allowance_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """What one slot may spend; 0: an equal share of the budget."""
    allowance_tokens: int = Field(default=0, ge=0)
    max_slots: int = Field(default=0, ge=0)
    generation_size: int = Field(default=25, ge=1, le=2048)
    lookahead: int = Field(default=2, ge=1, le=1000)
    attempts: int = Field(default=3, ge=1, le=10)
    max_turns: int = Field(default=24, ge=2, le=200)
    code: Literal["off", "on", "auto"] = "off"
    """Whether trajectories hold code that was run: none, a share of them, or that where it can be run."""
    code_share: float = Field(default=0.6, gt=0, le=1)
    policy: Policy | Literal[""] = ""
    """How slots are chosen; "": cells uniformly, without weights or parents."""
    signature_cap: int = Field(default=0, ge=0)
    min_gain: float = Field(default=0.0, ge=0, le=1)
    min_tools: int = Field(default=3, ge=1, le=64)
    max_tools: int = Field(default=12, ge=1, le=64)

    @field_validator("model", "base_url")
    @classmethod
    def _known_roles(cls, given: dict[str, str]) -> dict[str, str]:
        for role, value in given.items():
            if role not in (*ROLES, ALL):
                raise ValueError(f"there is no role {role!r}; roles: {', '.join(ROLES)}, or {ALL}")
            if not value.strip():
                raise ValueError(f"nothing is given for the role {role!r}")
        return given

    @field_validator("code", mode="before")
    @classmethod
    def _spelled(cls, given: Any) -> Any:
        """YAML reads ``on`` and ``off`` as true and false."""
        return {True: "on", False: "off"}[given] if isinstance(given, bool) else given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_tools > self.max_tools:
            raise ValueError(f"min_tools ({self.min_tools}) is more than max_tools ({self.max_tools})")
        return self

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.campaign or f"c{self.seed}"

    @property
    def folder(self) -> Path:
        """The campaign's folder."""
        return self.out or Path("out") / self.name

    @property
    def catalog_name(self) -> str:
        """The catalog as the card names it."""
        return self.catalog.name if self.catalog else BUILT_IN

    def models(self) -> dict[str, RoleModel]:
        """The model of each of the five roles."""
        return {
            role: RoleModel(
                model=self.model.get(role, self.model.get(ALL, "sim")),
                base_url=self._base_url(role),
            )
            for role in ROLES
        }

    def _base_url(self, role: str) -> str:
        """A base URL for all roles is not meant for those that are played in process."""
        if role in self.base_url:
            return self.base_url[role]
        plays = self.model.get(role, self.model.get(ALL, ""))
        return self.base_url.get(ALL, "") if plays else ""

    def spec(self) -> CampaignSpec:
        """The campaign that is asked for."""
        return CampaignSpec.model_validate(
            {
                "campaign": self.name,
                "catalog": self.catalog_name,
                "allowance": Allowance(usd=self.allowance_usd, tokens=self.allowance_tokens),
                "models": self.models(),
                **self.model_dump(include=set(CampaignSpec.model_fields) - {"campaign", "catalog"}),
            }
        )


def load(flags: Mapping[str, Any], file: Path | None, environ: Mapping[str, str]) -> RunConfig:
    """The configuration from all three sources. ``flags`` that are None were not given.

    Raises:
        UserError: a file that cannot be read, an unknown key or role, a value that does not fit.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    sources = (
        (from_file(file) if file else {}, lambda key: f"{key} in {file}"),
        (from_environment(environ), lambda key: PREFIX + key.upper()),
        (flags, lambda key: "--" + key.replace("_", "-")),
    )
    for source, place in sources:
        for key, value in source.items():
            if value is None:
                continue
            if key in PER_ROLE and isinstance(value, Mapping) and isinstance(merged.get(key, {}), Mapping):
                merged[key] = {**merged.get(key, {}), **value}
            else:
                merged[key] = value
            origin[key] = place(key)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise UserError(complaint(error, origin), "See `tds run --help`") from None


def complaint(error: ValidationError, origin: Mapping[str, str]) -> str:
    """The first thing that is wrong, and where it was given."""
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        text = "letters, digits, _ and - only, at most 64"
    given = "" if isinstance(first["input"], dict) or not key else f", not {repr(first['input'])[:80]}"
    where = origin.get(key, key)
    return f"{where + ': ' if where else ''}{text[:1].lower()}{text[1:]}{given}"


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What ``TDS_*`` variables say. Variables that are none of the names are other programs' matter."""
    found: dict[str, Any] = {}
    for key in RunConfig.model_fields:
        if key in PER_ROLE:
            names = {role: f"{PREFIX}{key}_{role}".upper() for role in (*ROLES, ALL)}
            given = {role: environ[name] for role, name in names.items() if environ.get(name)}
            if given:
                found[key] = given
        elif environ.get((PREFIX + key).upper()):
            found[key] = environ[(PREFIX + key).upper()]
    return found


def from_file(path: Path) -> dict[str, Any]:
    """What a YAML, TOML or JSON file says. ``budget-usd`` and ``budget_usd`` are the same.

    Raises:
        UserError: it cannot be read, or has a key that is none of the names.
    """
    try:
        value = _parse(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check --config") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not valid: {reason}", "write it as YAML, TOML or JSON") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no keys", "write one `name: value` a line, e.g. trajectories: 300")
    known = list(RunConfig.model_fields)
    found: dict[str, Any] = {}
    for key, entry in value.items():
        name = str(key).replace("-", "_")
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise UserError(f"{path} has an unknown key {key!r}", f"{guess}Known are: {', '.join(known)}")
        found[name] = {ALL: entry} if name in PER_ROLE and isinstance(entry, str) else entry
    return found


def _parse(path: Path, text: str) -> Any:
    """The file's value.

    Raises:
        ValueError: it is not what its name says.
    """
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"{path.suffix or 'no ending'} is not known: name it .yaml, .toml or .json")
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def by_role(given: list[str] | None, flag: str) -> dict[str, str] | None:
    """``ROLE=VALUE`` flags as a mapping.

    Raises:
        UserError: one of them has no role, or a role stands twice.
    """
    if not given:
        return None
    found: dict[str, str] = {}
    for entry in given:
        role, mark, value = entry.partition("=")
        if not mark or role not in (*ROLES, ALL):
            what = f"{flag} {entry}: there is no role {role!r}" if mark else f"{flag} {entry}: no role"
            raise UserError(what, f"write {flag} ROLE=VALUE; roles: {', '.join(ROLES)}, or {ALL}")
        if role in found:
            raise UserError(f"{flag} is given twice for the role {role!r}", "give it once")
        found[role] = value
    return found
