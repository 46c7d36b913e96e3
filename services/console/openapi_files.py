"""OpenAPI 3 and Swagger 2 documents as servers: every operation a tool, in the form of MCP catalogs.

Of a tool, ``inputSchema`` has all arguments side by side: those of the path, the query and the headers, and
the properties of a JSON or form body. A name that is taken already gets the place before it
(``body_id``); a body that is no object is the one argument ``body``. What only authenticates is left out, as
are cookies. ``outputSchema`` is the first 2xx response's in JSON. An operation that cannot be read is left
out with its reason. An API too large for a message becomes several servers, resource by resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.catalog import Json
from services.console.catalog_parts import in_parts
from services.console.openapi_schemas import Document, Refused, merge

METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
MAX_OPERATIONS: Final = 20_000
MAX_ARGUMENTS: Final = 100
DESCRIPTION_LENGTH: Final = 1000
PLACES: Final = ("path", "query", "header", "formData", "body")
NOT_ARGUMENTS: Final = re.compile(
    r"(accept|content-type|authorization|proxy-authorization|cookie|user-agent)\Z"
    r"|(.*[-_.])?(api|app|auth|access|subscription|session)[-_]?(key|token|secret)\Z",
    re.IGNORECASE,
)
"""Headers that negotiate or authenticate."""
JSON_TYPE: Final = re.compile(r"(application|text)/([\w.+-]*\+)?json\b|\*/\*", re.IGNORECASE)
FORM_TYPE: Final = re.compile(r"application/x-www-form-urlencoded|multipart/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Left:
    """An operation that was left out: where it stands, a code that can be counted, and why in words."""

    pointer: str
    code: str
    reason: str


def is_openapi(value: object) -> bool:
    """Whether a value is meant as an OpenAPI or Swagger document."""
    return (
        isinstance(value, dict)
        and "tools" not in value
        and any(isinstance(value.get(key), str | float | int) for key in ("openapi", "swagger"))
    )


def servers_of(value: Json, fallback: str, max_server_bytes: int) -> Iterator[Json | Left]:
    """The servers of a document, as raw catalog entries, and the operations left out.

    ``fallback`` names an API without a title. A document of an unknown version or without paths gives one
    ``Left`` and nothing else.
    """
    version = str(value.get("openapi") or value.get("swagger"))
    if not re.match(r"3(\.|$)" if "openapi" in value else r"2(\.|$)", version):
        yield Left("", "unknown_version", f"version {version[:20]!r} is none of OpenAPI 3 and Swagger 2")
        return
    if not isinstance(value.get("paths"), dict) or not value["paths"]:
        yield Left("", "no_operations", "it has no paths, and so no operation")
        return
    reader = _Operations(value)
    tools = []
    for made in reader.tools():
        if isinstance(made, Left):
            yield made
        else:
            tools.append(made)
    if not tools:
        yield Left("/paths", "no_operations", "none of its operations can be read")
        return
    about = _about(value, fallback)
    yield from in_parts(about, tools, max_server_bytes)


class _Operations:
    """One reading of a document's operations."""

    def __init__(self, root: Json) -> None:
        self.root = root
        self.document = Document(root)
        self.unsent = _authenticating(root)

    def tools(self) -> Iterator[Json | Left]:
        """Each operation as a tool, in the document's order."""
        count = 0
        for path, found in self.root["paths"].items():
            if not isinstance(path, str) or path.startswith("x-"):
                continue
            where = f"/paths/{path.replace('~', '~0').replace('/', '~1')}"
            try:
                item = self.document.followed(found)
            except Refused as refused:
                yield Left(where, refused.code, str(refused))
                continue
            for method in METHODS:
                operation = item.get(method)
                if not isinstance(operation, dict):
                    continue
                count += 1
                if count > MAX_OPERATIONS:
                    yield Left(where, "too_many_operations", f"at most {MAX_OPERATIONS} operations are taken")
                    return
                try:
                    yield self.tool(path, method, item, operation)
                except Refused as refused:
                    yield Left(f"{where}/{method}", refused.code, str(refused))

    def tool(self, path: str, method: str, item: Json, operation: Json) -> Json:
        """One operation.

        Raises:
            Refused: an argument needs what is not in the document.
        """
        made: Json = {
            "name": _name(operation.get("operationId"), method, path),
            "description": _description(operation, item),
            "inputSchema": self.arguments(item, operation),
        }
        result = self.result(operation)
        if result:
            made["outputSchema"] = result
        return {**made, "annotations": {"method": method.upper(), "path": path}}

    def arguments(self, item: Json, operation: Json) -> Json:
        """All that an operation takes, as one object schema."""
        taken = _Arguments()
        given = self.parameters(item, operation)
        for place in PLACES:
            for parameter in given:
                needed = parameter.get("required") is True or place == "path"
                if parameter["in"] == place == "body":
                    schema = self.document.schema(parameter.get("schema"), "input")
                    taken.add_body(schema, parameter["name"], needed=needed)
                elif parameter["in"] == place:
                    taken.add(parameter["name"], place, self.parameter(parameter), needed=needed)
        if "requestBody" in operation:
            body = self.document.followed(operation["requestBody"])
            source = _content(body)
            if source is not None:
                schema = self.document.schema(source, "input")
                taken.add_body(schema, "body", needed=body.get("required") is True)
        return taken.schema()

    def parameters(self, item: Json, operation: Json) -> list[Json]:
        """The parameters of an operation, its own before its path's, but for those that authenticate."""
        found: dict[tuple[str, str], Json] = {}
        for holder in (operation, item):
            listed = holder.get("parameters")
            for raw in listed if isinstance(listed, list) else ():
                one = self.document.followed(raw)
                name, place = one.get("name"), one.get("in")
                if not isinstance(name, str) or not name or place not in PLACES:
                    continue
                if (place, name.lower()) not in self.unsent and not (
                    place == "header" and NOT_ARGUMENTS.match(name)
                ):
                    found.setdefault((place, name), one)
        return list(found.values())

    def parameter(self, parameter: Json) -> Json:
        """The schema of one parameter. In Swagger 2 the parameter is its own schema."""
        source = parameter.get("schema", _content(parameter)) if "swagger" not in self.root else None
        if source is None:
            source = {key: value for key, value in parameter.items() if key not in ("in", "name", "required")}
        said: Json = {}
        for key in ("description", "example", "deprecated"):
            if key in parameter:
                said[key] = parameter[key]
        made = self.document.schema(said, "input")
        merge(made, self.document.schema(source, "input"))
        return {"type": made.get("type", "string"), **made}

    def result(self, operation: Json) -> Json:
        """The schema of the first 2xx response in JSON; ``{}`` if none is described.

        A reference out of the document costs the schema, not the operation.
        """
        responses = operation.get("responses")
        if not isinstance(responses, dict):
            return {}
        codes = sorted(
            str(code) for code in responses if re.fullmatch(r"2(\d\d|XX)", str(code), re.IGNORECASE)
        )
        named = {str(code): response for code, response in responses.items()}
        for code in codes:
            try:
                response = self.document.followed(named[code])
                source = (
                    response.get("schema") if "swagger" in self.root else _content(response, only_json=True)
                )
                if source:
                    return self.document.schema(source, "output")
            except Refused:
                return {}
        return {}


class _Arguments:
    """The arguments of one tool, gathered from all the places that they come from."""

    def __init__(self) -> None:
        self.properties: Json = {}
        self.required: list[str] = []
        self.in_path: set[str] = set()

    def add(self, name: str, place: str, schema: Json, *, needed: bool) -> None:
        """One argument, under its name or, if that is taken, with its place and then a number."""
        free, count = name, 1
        while free in self.properties:
            free = f"{place}_{name}" if count == 1 else f"{place}_{name}_{count}"
            count += 1
        self.properties[free] = schema
        if needed:
            self.required.append(free)
        if place == "path":
            self.in_path.add(free)

    def add_body(self, schema: Json, alone: str, *, needed: bool) -> None:
        """The properties of a body, or under the name ``alone`` the body itself if it is no object."""
        members = schema.get("properties")
        if schema.get("type", "object") != "object" or not members:
            self.add(alone, "body", schema or {"type": "object"}, needed=needed)
            return
        for name, member in members.items():
            # PUT /orders/{id} with the id in the body too: one argument, said twice.
            if name in self.in_path and self.properties[name].get("type") == member.get("type"):
                continue
            self.add(name, "body", member, needed=name in schema.get("required", ()))

    def schema(self) -> Json:
        """All of it, at most ``MAX_ARGUMENTS``, required ones first."""
        names = list(self.properties)
        if len(names) > MAX_ARGUMENTS:
            needed = set(self.required)
            kept = sorted(range(len(names)), key=lambda at: (names[at] not in needed, at))[:MAX_ARGUMENTS]
            names = [names[at] for at in sorted(kept)]
        made: Json = {"type": "object", "properties": {name: self.properties[name] for name in names}}
        required = [name for name in self.required if name in made["properties"]]
        return {**made, "required": required} if required else made


def _content(holder: Json, *, only_json: bool = False) -> object:
    """The schema of a body's or response's content: JSON, else a form, else the first there is."""
    content = holder.get("content")
    if not isinstance(content, dict):
        return None
    kinds = [kind for kind in content if isinstance(kind, str)]
    wanted = (JSON_TYPE,) if only_json else (JSON_TYPE, FORM_TYPE, re.compile(""))
    for pattern in wanted:
        for kind in kinds:
            if pattern.match(kind):
                media = content[kind]
                return media.get("schema") if isinstance(media, dict) else None
    return None


def _authenticating(root: Json) -> frozenset[tuple[str, str]]:
    """Place and name, in lower case, of what the document says authenticates."""
    components = root.get("components")
    schemes = root.get("securityDefinitions") or (
        components.get("securitySchemes") if isinstance(components, dict) else None
    )
    return frozenset(
        (str(one.get("in")), str(one.get("name")).lower())
        for one in (schemes.values() if isinstance(schemes, dict) else ())
        if isinstance(one, dict) and one.get("type") == "apiKey"
    )


def _name(operation: object, method: str, path: str) -> str:
    """The operation's id, else its method and path; the registry makes it valid and unlike the others."""
    if isinstance(operation, str) and operation.strip():
        return operation.strip()
    return f"{method}_{re.sub(r'[^A-Za-z0-9]+', '_', path).strip('_')}".strip("_")


def _description(operation: Json, item: Json) -> str:
    """Summary and description, as one text."""
    texts = []
    for key in ("summary", "description"):
        value = operation.get(key) or item.get(key)
        text = " ".join(value[: 4 * DESCRIPTION_LENGTH].split()) if isinstance(value, str) else ""
        if text:
            texts.append(text)
    if len(texts) == 2 and texts[1].lower().startswith(texts[0].lower().rstrip(".")):
        del texts[0]
    if len(texts) == 2 and texts[0][-1] not in ".!?:。":
        texts[0] += "."
    return " ".join(texts)[:DESCRIPTION_LENGTH]


def _about(root: Json, fallback: str) -> Json:
    """What the document says of the API as a whole, as a catalog says it of a server."""
    found = root.get("info")
    info: Json = found if isinstance(found, dict) else {}
    title = info.get("title")
    name = title.strip() if isinstance(title, str) and title.strip() else fallback
    made: Json = {"name": name}
    provider, service = info.get("x-providerName"), info.get("x-serviceName")
    if isinstance(provider, str) and provider:
        made["qualifiedName"] = f"{provider}/{service}" if isinstance(service, str) and service else provider
    text = info.get("description")
    made["description"] = text[:DESCRIPTION_LENGTH] if isinstance(text, str) else ""
    labels = info.get("x-apisguru-categories")
    if isinstance(labels, list):
        made["labels"] = [label for label in labels[:10] if isinstance(label, str)]
    return made
