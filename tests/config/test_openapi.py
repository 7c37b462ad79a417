"""The OpenAPI document and its page: whole, valid, and about every address there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from openapi_spec_validator import OpenAPIV31SpecValidator

from config import api
from tests.processes import ROOT
from tests.scenes import person

pytestmark = pytest.mark.django_db
NOUNS = {
    "systems", "alerts", "incidents", "notices", "playbooks", "runs", "approvals", "connections", "deliveries", "postmortems", "clocks",
    "insights", "inbox", "simulations", "changes", "routes", "feeds", "odata",
    "saved-views", "silences", "audit",
}  # fmt: skip


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in api.document()["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def addresses(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every address of the API with its view, written as the document writes it."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        here = prefix + str(pattern.pattern).lstrip("^")
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, here)
        elif (
            isinstance(pattern, URLPattern)
            and here.startswith("api/v1/")
            and pattern.name not in ("api-openapi", "api-docs")
        ):
            plain = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^)]*\))*\)", r"{\1}", here).rstrip("$\\Z")
            yield "/" + plain.replace("{pk}", "{id}"), pattern.callback


def test_the_document_is_valid_and_made_without_a_warning() -> None:
    api.document.cache_clear()
    reset_generator_stats()
    document = api.document()
    assert not GENERATOR_STATS
    assert document["openapi"].startswith("3.1")
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())


def test_every_operation_says_what_it_is_and_how_it_refuses() -> None:
    seen = set()
    for path, method, operation in operations():
        assert operation["summary"], path
        assert operation["tags"][0] in NOUNS, path
        seen |= set(operation["tags"])
        problem = {"$ref": "#/components/responses/Problem401"}
        assert operation["responses"]["401"] == problem, path
        assert "422" in operation["responses"], path
        if method == "post":
            assert "Idempotency-Key" in {p["name"] for p in operation["parameters"]}, path
    assert seen == NOUNS


def test_every_address_of_the_api_is_in_the_document() -> None:
    documented = {(path, method) for path, method, _ in operations()}
    found = {
        (path, method)
        for path, view in addresses()
        for method in getattr(view, "actions", None) or view.cls.http_method_names
        if getattr(view, "actions", None) or hasattr(view.cls, method)
        if method in set(view.cls.http_method_names) - {"head", "options"}
    }
    assert found == documented


def test_the_document_is_open_and_the_page_is_for_people_who_signed_in() -> None:
    stranger = Client()
    assert stranger.get("/api/v1/openapi.json").json()["info"]["title"] == "Holdfast"
    assert stranger.get("/api/v1/docs/")["Location"].startswith("/login/")
    browser = Client()
    browser.force_login(person("ann", "IC"))
    page = browser.get("/api/v1/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    for path, _, operation in operations():
        assert path in text
        assert operation["summary"].replace("'", "&#x27;") in text
    assert "curl -H" in text
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://", text)
    assert not re.search(r"<script(?![^>]*(?:src|nonce)=)|\sstyle=\"|\son\w+=\"", text)


def test_an_example_of_a_body_holds_what_is_required() -> None:
    declare = next(o for p, m, o in operations() if (p, m) == ("/api/v1/incidents/", "post"))
    shape = declare["requestBody"]["content"]["application/json"]["schema"]
    assert api.example(shape, required=True) == {"title": "…"}
    assert api.example(shape)["severity"] == 3


def test_every_address_and_body_in_the_guide_is_one_of_the_document() -> None:
    guide = (ROOT / "docs" / "api.md").read_text().replace("\\\n", " ")
    calls = re.findall(r"^curl .*$", guide, re.M)
    assert len(calls) > 6
    for call in calls:
        path = re.search(r"8000(/api/v1/[^\s\"?]*)", call)
        assert path is not None, call
        address = re.sub(r"/(INC-)?\d+/", "/{id}/", path[1])
        named = re.search(r"-X ([A-Z]+)", call)
        method = named[1].lower() if named else "get"
        operation = api.document()["paths"][address][method]
        if body := re.search(r"-d '(.*?)'", call):
            shape = operation["requestBody"]["content"]["application/json"]["schema"]
            assert set(json.loads(body[1])) <= set(api.example(shape)), call
