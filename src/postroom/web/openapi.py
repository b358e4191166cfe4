"""OpenAPI for bodies that we parse ourselves, and the offline documentation pages."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

_REFERENCE = "#/components/schemas/{model}"
ASSETS = "/docs/assets"


def takes(
    *models: type[BaseModel], also_list: bool = False, media: Iterable[str] = ("application/json",)
) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is one of `models` (or, with `also_list`, a list of the first)."""
    choices: list[dict[str, Any]] = [{"$ref": _REFERENCE.format(model=model.__name__)} for model in models]
    if also_list:
        choices.append({"type": "array", "items": choices[0]})
    schema = choices[0] if len(choices) == 1 else {"oneOf": choices}
    return {"requestBody": {"required": True, "content": {each: {"schema": schema} for each in media}}}


def refusals(model: type[BaseModel], statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that says `model` with each of these statuses. Only the first is FastAPI's to work
    out: a model for each was most of what building a dialect took."""
    first, *others = statuses
    same = {"content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}}
    return {first: {"model": model}, **dict.fromkeys(others, same)}


def path_parameters(path: str) -> dict[str, Any]:
    """The `openapi_extra` that names the parameters in a path whose function doesn't."""
    names = re.findall(r"{(\w+)}", path)
    return {
        "parameters": [{"name": each, "in": "path", "required": True, "schema": {"type": "string"}} for each in names]
    }


def document(
    app: FastAPI, models: Iterable[type[BaseModel]], security: Mapping[str, Mapping[str, str]]
) -> Callable[[], dict[str, Any]]:
    """`app.openapi` with the schemas of bodies parsed by us, and with the ways to show a key."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            said = generate()
            parts = said.setdefault("components", {})
            _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
            parts.setdefault("schemas", {}).update(schemas.get("$defs", {}))
            parts["securitySchemes"] = {name: dict(scheme) for name, scheme in security.items()}
            said["security"] = [{name: []} for name in security]
            app.openapi_schema = said
        return app.openapi_schema

    return openapi


def pages(documents: Mapping[str, FastAPI]) -> list[BaseRoute]:
    """`/docs/<name>` and its `openapi.json` for each, from files in an installed package: no outside request."""
    routes: list[BaseRoute] = [Mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]))]
    for name, app in documents.items():
        routes += [Route(f"/docs/{name}", _page(name, app)), Route(f"/docs/{name}/openapi.json", _json(app))]
    return routes


def _page(name: str, app: FastAPI) -> Callable[[Request], HTMLResponse]:
    def page(_request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=f"/docs/{name}/openapi.json",
            title=app.title,
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
        )

    return page


def _json(app: FastAPI) -> Callable[[Request], Response]:
    def answer(_request: Request) -> Response:
        return JSONResponse(app.openapi())

    return answer
