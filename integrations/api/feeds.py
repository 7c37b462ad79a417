"""`/api/v1/feeds/` and `/api/v1/odata/`: tables for those who analyse, as files and as an OData v4 feed."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.serializers import ValidationError
from rest_framework.views import APIView

from incidents import audit
from incidents.api.base import Api
from incidents.api.queries import Query, Word
from integrations.feeds import files, odata, tables
from integrations.feeds.filters import BadQuery

_ENTITY = re.compile(r"(\w+)\(([^()]{1,80})\)")
_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class AsItIs(BaseContentNegotiation):
    """The answer has one form, whatever else the client would take."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class FeedQuery(Query):
    format = Word(help_text="csv or parquet; default csv.", default="csv")

    def validate_format(self, value: str) -> str:
        if value not in _TYPES:
            raise ValidationError(f"There is no format {value!r}; choose one of {', '.join(_TYPES)}.")
        return value


class FeedView(Api, APIView):
    """Whole tables as files."""

    content_negotiation_class = AsItIs

    @extend_schema(
        summary="A table as a file",
        parameters=[FeedQuery, OpenApiParameter("table", enum=tables.NAMES, location="path")],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, table: str) -> StreamingHttpResponse:
        """`incidents`, `alerts`, `runs` or `kpis`, of what you may see; streamed."""
        form = FeedQuery.of(request)["format"]
        if table not in tables.NAMES:
            raise Http404
        columns, rows = tables.columns_of(table), tables.rows_of(table, request.user)
        try:
            pieces = files.as_csv(columns, rows) if form == "csv" else files.as_parquet(columns, rows)
        except files.NoParquet as error:
            raise ValidationError({"format": [str(error)]}) from error
        audit.exported(f"the table {table}", by=request.user, format=form)
        answer = StreamingHttpResponse(pieces, content_type=_TYPES[form])
        answer["Content-Disposition"] = f'attachment; filename="holdfast-{table}.{form}"'
        return answer


class OData(Api, APIView):
    """Base of the feed's views: errors in OData's form, the version in a header."""

    content_negotiation_class = AsItIs

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["OData-Version"] = "4.0"
        return response

    def handle_exception(self, exc: Exception) -> Any:
        match exc:
            case BadQuery():
                return _error(400, "BadQuery", str(exc))
            case odata.NotThere():
                return _error(404, "NotFound", str(exc))
        return super().handle_exception(exc)


class ODataService(OData):
    """The entry of the feed."""

    @extend_schema(
        operation_id="odata_service", summary="OData v4: service document", responses=OpenApiTypes.OBJECT
    )
    def get(self, request: Request) -> HttpResponse:
        """The entity sets: Incidents, Alerts, Runs, Kpis."""
        return _answer(odata.service(root()))


class ODataSet(OData):
    """Rows of an entity set."""

    @extend_schema(
        summary="OData v4: an entity set, an entity, a count, the metadata",
        parameters=[OpenApiParameter(option) for option in odata.OPTIONS]
        + [
            OpenApiParameter(
                "resource",
                location="path",
                description="`Incidents`, `Incidents(7)`, `Incidents/$count`, `$metadata`.",
            )
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, resource: str) -> HttpResponse:
        """Pages of 500; `@odata.nextLink` leads to the next. The metadata is CSDL as XML."""
        if resource == "$metadata":
            return HttpResponse(odata.metadata(), content_type="application/xml")
        asked = {name: str(value) for name, value in request.query_params.items() if value}
        name, _, rest = resource.partition("/")
        if rest == "$count":
            return HttpResponse(str(odata.count_of(name, asked, request.user)), content_type="text/plain")
        if one := _ENTITY.fullmatch(resource):
            return _answer(odata.entity(one[1], one[2], request.user, root()))
        return _answer(odata.page(resource, asked, request.user, root()))


def root() -> str:
    """Where the feed begins, as clients reach it."""
    return f"{settings.HOLDFAST_BASE_URL.rstrip('/')}/api/v1/odata/"


def _answer(body: Any, status: int = 200) -> JsonResponse:
    return JsonResponse(body, status=status, content_type="application/json;odata.metadata=minimal")


def _error(status: int, code: str, message: str) -> JsonResponse:
    return _answer({"error": {"code": code, "message": message}}, status)
