"""What the OpenAPI document says about every operation: its noun, its first sentence, its refusals."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

PROBLEM = {
    "type": "object",
    "description": "RFC 9457. What happened and what to do; further members depend on the refusal.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {}, "description": "By field, for 422."},
        "reasons": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Everything that is missing, for 409.",
        },
        "right": {"type": "string", "description": "The right that is missing, for 403."},
        "request_id": {"type": "string", "description": "To find it in the log, for 500."},
    },
}
REFUSALS = {
    "400": "The request is not JSON, or not well formed.",
    "401": "No token, or one that is not known, has expired or was revoked.",
    "403": "The role or the token's scope does not allow it.",
    "404": "There is nothing here that you may see.",
    "406": "Something else than JSON was asked for.",
    "409": "Refused in the present state; `reasons` says why.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
    "422": "Some values cannot be used; `errors` says which.",
    "429": "Too many requests; wait for Retry-After seconds.",
}
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER,
    description="Any text of up to 255 characters. Repeated within a day with the same body, it has its effect once and gets the same answer.",
)  # fmt: skip


class Described(AutoSchema):
    """Tags by the noun of the address; `Idempotency-Key` on every POST."""

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/api/v1/").split("/")[0]]

    def get_override_parameters(self) -> list[Any]:
        return [IDEMPOTENCY] if self.method == "POST" else []


def with_refusals(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """Postprocessing: the problem shape, and the refusals that each operation may answer."""
    parts = result["components"]
    parts.setdefault("schemas", {})["Problem"] = PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    parts["responses"] = {
        f"Problem{code}": {"description": said, "content": content} for code, said in REFUSALS.items()
    }
    _without_marks(result)
    for path, item in result["paths"].items():
        for method, operation in item.items():
            codes = {"401", "403", "406", "422", "429"}
            if "{" in path:
                codes.add("404")
            if method != "get":
                codes |= {"400", "409", "413", "415"}
            for code in sorted(codes):
                operation["responses"].setdefault(code, {"$ref": f"#/components/responses/Problem{code}"})
    return result


def _without_marks(part: Any) -> None:
    """The generator marks choice sets to name them; here they stay where they are used."""
    if isinstance(part, dict):
        part.pop("x-spec-enum-id", None)
        for inner in part.values():
            _without_marks(inner)
    elif isinstance(part, list):
        for inner in part:
            _without_marks(inner)
