"""`/api/v1/insights/`: honest numbers with n beside each."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incidents import insights
from incidents.access import visible
from incidents.api.base import Api
from incidents.api.queries import Query
from incidents.models import Incident


class InsightsQuery(Query):
    days = serializers.IntegerField(
        min_value=1, max_value=3650, default=90, help_text="Length of the period until now; default 90."
    )


class InsightsView(Api, APIView):
    """Measures over the incidents you may see."""

    @extend_schema(summary="Figures of a period", parameters=[InsightsQuery], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Times in seconds, medians first, n beside each; null where n is 0."""
        days = InsightsQuery.of(request)["days"]
        seen = visible(request.user, Incident.objects.all())
        return Response(insights.figures(seen, days=days, now=timezone.now()))
