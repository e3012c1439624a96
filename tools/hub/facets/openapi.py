"""The OpenAPI description of the hub: what FastAPI reads from the routes, and what the facets say of their calls.

The facets decode requests themselves, because a vendor's error body is not FastAPI's. So bodies, queries and answers are described beside
the routes, in `docs` of each facet: a table from (method, path) to a `Call`. `describe` puts them together and leaves out what FastAPI
guesses. A route without a `Call` is an error when the description is made, so that none is forgotten.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

JSON = "application/json"
OPERATOR_KEY = "operatorKey"  # the security scheme of the operator's calls, in every facet
_REF = "#/components/schemas/{model}"

Schema = type[BaseModel] | dict[str, Any]


@dataclass(frozen=True)
class Content:
    """A body: its schema (a model, or JSON schema), and examples by name."""

    schema: Schema
    examples: Mapping[str, Any] = field(default_factory=dict)
    media_type: str = JSON


@dataclass(frozen=True)
class Answer:
    """What one status means; no `content` is no body."""

    description: str
    content: tuple[Content, ...] = ()


@dataclass(frozen=True)
class Call:
    """One operation. `secured_by`: names of the security schemes that open it, each alone."""

    answers: Mapping[int, Answer]
    body: tuple[Content, ...] = ()
    body_required: bool = True
    query: tuple[dict[str, Any], ...] = ()
    headers: tuple[dict[str, Any], ...] = ()
    secured_by: tuple[str, ...] = ()
    path: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # parameters that mean something of their own here


Calls = Mapping[tuple[str, str], Call]


def said(schema: Schema, example: Any = None, **more: Any) -> tuple[Content, ...]:
    """A JSON body with an example, or several by name."""
    return (Content(schema, more if example is None else {"example": example, **more}),)


def given(schema: Schema, example: Any = None, status: int = 200, description: str = "", **more: Any) -> dict[int, Answer]:
    """The answer of a call that went well."""
    return {status: Answer(description or HTTPStatus(status).phrase, said(schema, example, **more))}


def query(name: str, description: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    """A parameter of the query string."""
    made = {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
    return made if example is None else {**made, "example": example}


def header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A header of the request."""
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def install(app: FastAPI, make: Callable[[FastAPI], dict[str, Any]]) -> None:
    """Have the application describe itself with what `make` gives, once somebody asks."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = make(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def describe(
    app: FastAPI, calls: Calls, schemes: Mapping[str, dict[str, Any]], path_parameters: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """The description. `path_parameters`: schema, description and example of each by its name.

    Raises LookupError for a route that no call describes, and for a call that no route has.
    """
    made: dict[str, Any] = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    models = sorted({content.schema for call in calls.values() for content in _contents(call) if isinstance(content.schema, type)}, key=str)
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    made["components"] = {"schemas": definitions.get("$defs", {}), "securitySchemes": dict(schemes)}
    left = dict(calls)
    for path, item in made["paths"].items():
        for method, operation in item.items():
            try:
                call = left.pop((method.upper(), path))
            except KeyError:
                raise LookupError(f"no docs of a facet describe {method.upper()} {path}") from None
            _describe(operation, call, path_parameters)
    if left:
        raise LookupError(f"described, but no route: {', '.join(' '.join(key) for key in left)}")
    return made


def _describe(operation: dict[str, Any], call: Call, path_parameters: Mapping[str, dict[str, Any]]) -> None:
    in_path = [
        {"name": item["name"], "in": "path", "required": True, **(call.path.get(item["name"]) or path_parameters[item["name"]])}
        for item in operation.pop("parameters", ())
        if item["in"] == "path"
    ]
    parameters = [*in_path, *call.query, *call.headers]
    if parameters:
        operation["parameters"] = parameters
    operation.pop("requestBody", None)
    if call.body:
        operation["requestBody"] = {"required": call.body_required, "content": _content(call.body)}
    operation["responses"] = {
        str(status): {"description": answer.description, **({"content": _content(answer.content)} if answer.content else {})}
        for status, answer in sorted(call.answers.items())
    }
    operation["security"] = [{name: []} for name in call.secured_by]


def _contents(call: Call) -> list[Content]:
    return [*call.body, *(content for answer in call.answers.values() for content in answer.content)]


def _content(contents: tuple[Content, ...]) -> dict[str, Any]:
    made = {}
    for content in contents:
        schema = content.schema if isinstance(content.schema, dict) else {"$ref": _REF.format(model=content.schema.__name__)}
        examples = {name: {"value": value} for name, value in content.examples.items()}
        made[content.media_type] = {"schema": schema, **({"examples": examples} if examples else {})}
    return made
