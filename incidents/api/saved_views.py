"""`/api/v1/saved-views/`: named filters of the list of incidents."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.api.base import Api, person_of, read
from incidents.api.incident_shapes import SavedViewSerializer
from incidents.api.pages import CursorPages
from incidents.models import SavedView
from incidents.pages.incidents import keep_view


@extend_schema_view(list=extend_schema(summary="Saved views: your own and shared ones"))
class SavedViewViewSet(Api, mixins.ListModelMixin, viewsets.GenericViewSet):
    """Named filters of the list of incidents; `query` is what its address carries."""

    serializer_class = SavedViewSerializer
    pagination_class = CursorPages
    queryset = SavedView.objects.all()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[SavedView]:
        person = person_of(self.request)
        return SavedView.objects.filter(Q(owner=person) | Q(shared=True)).select_related("owner")

    @extend_schema(summary="Save a view", responses={201: SavedViewSerializer})
    def create(self, request: Request) -> Response:
        """A view of yours with the same name is written anew."""
        data = read(SavedViewSerializer, request)
        view = keep_view(
            person_of(request), data["name"], data.get("query", ""), shared=data.get("shared", False)
        )
        return Response(SavedViewSerializer(view).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Remove a view of yours", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Shared views of others stay."""
        SavedView.objects.filter(pk=self.get_object().pk, owner=person_of(request)).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)
