"""`/api/v1/` as a whole: the addresses of all floors, the OpenAPI document, its page, and JSON for strangers."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import include, path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer

from config.logs import request_id
from incidents.api import problems

PREFIX = "/api/"


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of this installation; made once per process."""
    made = SchemaGenerator().get_schema(request=None, public=True)
    whole: dict[str, Any] = json.loads(OpenApiJsonRenderer().render(made, renderer_context={}))
    return whole


def openapi(request: HttpRequest) -> HttpResponse:
    """OpenAPI 3.1, for anybody: it tells shapes, no data."""
    return JsonResponse(document(), json_dumps_params={"indent": 1})


@login_required
def docs(request: HttpRequest) -> HttpResponse:
    """The document as a page, grouped by noun."""
    return render(request, "api_docs.html", {"groups": groups(), "base": settings.HOLDFAST_BASE_URL})


@cache
def groups() -> list[dict[str, Any]]:
    """[{"tag", "operations": [{method, path, summary, description, parameters, body, answer, curl, …}]}]"""
    found: dict[str, list[dict[str, Any]]] = {}
    for address, item in document()["paths"].items():
        for method, operation in item.items():
            found.setdefault(operation["tags"][0], []).append(_operation(address, method, operation))
    return [{"tag": tag, "operations": operations} for tag, operations in found.items()]


def _operation(address: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    body = _json_of(operation.get("requestBody"))
    code, answer = next((c, r) for c, r in operation["responses"].items() if c.startswith("2"))
    media = next(iter(answer.get("content", {})), "")
    shape = _json_of(answer)
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": address,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "parameters": [{**p, "words": _words(p["schema"])} for p in operation.get("parameters", ())],
        "body": _text(example(body)) if body else "",
        "code": code,
        "media": media,
        "answer": _text(example(shape)) if shape else "",
        "curl": _curl(address, method, example(body, required=True) if body else None),
    }


def _curl(address: str, method: str, body: Any) -> str:
    shown = address.replace("{id}", "INC-7" if address.startswith("/api/v1/incidents/") else "7")
    shown = shown.replace("{slug}", "credit-risk" if "/systems/" in address else "pb-drift")
    for name in ("{item}", "{step}", "{number}"):
        shown = shown.replace(name, "1")
    lines = ['curl -H "Authorization: Bearer $TOKEN"']
    if method != "get":
        lines.append(f"-X {method.upper()}")
    if body is not None:
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(body, ensure_ascii=False)}'"]
    return " \\\n  ".join([*lines, f"{settings.HOLDFAST_BASE_URL.rstrip('/')}{shown}"])


def _json_of(part: dict[str, Any] | None) -> dict[str, Any] | None:
    shape: dict[str, Any] | None = (part or {}).get("content", {}).get("application/json", {}).get("schema")
    return shape


def example(shape: dict[str, Any] | None, required: bool = False, depth: int = 0) -> Any:
    """A value of that shape: real words where the document has them, names of types elsewhere."""
    shape = shape or {}
    if "$ref" in shape:
        return example(document()["components"]["schemas"][shape["$ref"].rpartition("/")[2]], required, depth)
    for name in ("allOf", "oneOf", "anyOf"):
        if name in shape:
            return example(shape[name][0], required, depth)
    if "default" in shape and shape["default"] not in ({}, []):
        return shape["default"]
    if shape.get("enum"):
        return shape["enum"][0]
    kind = shape.get("type", "object")
    match next((k for k in kind if k != "null"), "null") if isinstance(kind, list) else kind:
        case "object" if "properties" in shape:
            wanted = set(shape.get("required", ())) if required else set(shape["properties"])
            return {
                name: example(inner, required, depth + 1)
                for name, inner in shape["properties"].items()
                if name in wanted and depth < 4
            }
        case "object":
            return {}
        case "array":
            return [example(shape.get("items"), required, depth + 1)] if depth < 4 else []
        case "integer" | "number":
            return shape.get("minimum", 1)
        case "boolean":
            return True
        case "string":
            return _SAMPLES.get(
                shape.get("format", ""), "INC-7" if "INC-" in shape.get("pattern", "") else "…"
            )
    return None


_SAMPLES = {
    "date-time": "2026-11-20T08:00:00Z",
    "date": "2026-11-20",
    "uri": "https://example.org/",
    "decimal": "10.00",
}


def _words(shape: dict[str, Any]) -> str:
    kind = shape.get("type", "")
    words = kind if isinstance(kind, str) else " or ".join(kind)
    return f"{words}: {', '.join(map(str, shape['enum']))}" if shape.get("enum") else words


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@csrf_exempt
def unknown(request: HttpRequest, rest: str = "") -> HttpResponse:
    """404 as a problem, for every address below /api/ that is none."""
    hint = "" if request.path.endswith("/") else " Addresses end with a slash."
    return _problem(
        404, "Not found", f"{request.path} is no address of this API.{hint} See /api/v1/openapi.json."
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500: a problem with the request's id below /api/, the page elsewhere. Nothing of the defect is shown."""
    if not request.path.startswith(PREFIX):
        return defaults.server_error(request)
    return _problem(
        500, "Defect", "This is a defect; nothing was half-done. Give the request id to your administrator.",
        request_id=request_id.get(),
    )  # fmt: skip


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: a problem below /api/, the page elsewhere."""
    if not request.path.startswith(PREFIX):
        return defaults.bad_request(request, exception)
    return _problem(400, "Bad request", "The request cannot be read; check its address, headers and size.")


def _problem(code: int, title: str, detail: str, **more: Any) -> HttpResponse:
    return JsonResponse(
        problems.body(code, title, detail, **more), status=code, content_type=problems.MEDIA_TYPE
    )


urlpatterns = [
    path("", include("incidents.api.urls")),
    path("", include("playbooks.api.urls")),
    path("", include("integrations.api.urls")),
    path("openapi.json", openapi, name="api-openapi"),
    path("docs/", docs, name="api-docs"),
]
