"""`/api/v1/postmortems/`: the written learning: sections, causes, action items, sign-offs."""

from __future__ import annotations

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import postmortem
from incidents.access import visible
from incidents.api.base import Api, person_of, read
from incidents.api.fields import PersonField
from incidents.api.queries import IncidentKey, OneOrMore, Query
from incidents.models import ActionItem, ContributingFactor, Incident, PostMortem, Review
from incidents.models.people import ROLES
from incidents.visibility import about_seen


class ActionItemSerializer(serializers.ModelSerializer):
    """A task that somebody can check."""

    owner = PersonField()

    class Meta:
        model = ActionItem
        fields: tuple[str, ...] = (
            "id", "title", "kind", "owner", "due_at", "priority", "done_when", "status", "closing_evidence",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = ("status", "closing_evidence")


class FactorSerializer(serializers.ModelSerializer):
    """One cause among several."""

    class Meta:
        model = ContributingFactor
        fields: tuple[str, ...] = ("id", "code", "statement", "contribution", "evidence")


class ReviewSerializer(serializers.ModelSerializer):
    """A sign-off in a role."""

    by = serializers.CharField(source="by.username", read_only=True)
    role = serializers.ChoiceField(choices=list(ROLES))

    class Meta:
        model = Review
        fields: tuple[str, ...] = ("role", "by", "approved", "comment", "at")
        read_only_fields: tuple[str, ...] = ("at",)


class PostMortemSerializer(serializers.ModelSerializer):
    """What people wrote; what the facts say is added when it is exported."""

    incident = serializers.CharField(source="incident.key", read_only=True)
    title = serializers.CharField(source="incident.title", read_only=True)
    sections = serializers.DictField(child=serializers.CharField(allow_blank=True), read_only=True)
    factors = FactorSerializer(many=True, read_only=True)
    action_items = ActionItemSerializer(source="incident.action_items", many=True, read_only=True)
    reviews = ReviewSerializer(many=True, read_only=True)

    class Meta:
        model = PostMortem
        fields: tuple[str, ...] = (
            "id", "incident", "title", "status", "sections", "revision", "no_actions_because", "factors", "action_items",
            "reviews", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class WritingSerializer(serializers.Serializer):
    """Texts to replace."""

    sections = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=100_000),
        help_text=f"Markdown by section: {', '.join(postmortem.WRITTEN)}.",
    )
    revision = serializers.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="The one you read; refused when it is no longer.",
    )


class NoActionsSerializer(serializers.Serializer):
    """Why there are none."""

    because = serializers.CharField(
        max_length=4000, allow_blank=True, help_text="Empty when there will be some after all."
    )


class DraftingSerializer(serializers.Serializer):
    """Which incident."""

    incident = IncidentKey(required=True)


class ClosingSerializer(serializers.Serializer):
    """What shows that it is done."""

    evidence = serializers.CharField(max_length=500)


class ReasonSerializer(serializers.Serializer):
    """Why it has to change."""

    reason = serializers.CharField(max_length=1000)


class PostMortemQuery(Query):
    status = OneOrMore(("draft", "in_review", "approved"))
    incident = IncidentKey()


@extend_schema_view(retrieve=extend_schema(summary="One post-mortem"))
class PostMortemViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Post-mortems of the incidents you may see."""

    serializer_class = PostMortemSerializer
    queryset = PostMortem.objects.all()

    def get_queryset(self) -> QuerySet[PostMortem]:
        return (
            about_seen(PostMortem.objects.all(), self.request.user)
            .select_related("incident")
            .prefetch_related("incident__action_items__owner", "factors", "reviews__by")
        )

    @extend_schema(summary="Post-mortems, newest first", parameters=[PostMortemQuery])
    def list(self, request: Request) -> Response:
        asked = PostMortemQuery.of(request)
        rows = self.get_queryset()
        if "status" in asked:
            rows = rows.filter(status__in=asked["status"])
        if "incident" in asked:
            rows = rows.filter(incident_id=asked["incident"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(
        summary="Start a post-mortem", request=DraftingSerializer, responses={201: PostMortemSerializer}
    )
    def create(self, request: Request) -> Response:
        """Drafted from the facts; the one there is, when there is one."""
        seen = visible(request.user, Incident.objects.all())
        incident = get_object_or_404(seen, pk=read(DraftingSerializer, request)["incident"])
        return self._shown(postmortem.draft(incident, by=person_of(request)), status.HTTP_201_CREATED)

    @extend_schema(summary="Write sections", request=WritingSerializer, responses=PostMortemSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """With `revision`, refused with 409 when somebody else saved since."""
        pm = self.get_object()
        data = read(WritingSerializer, request)
        return self._shown(
            postmortem.write(pm, data["sections"], by=person_of(request), revision=data.get("revision"))
        )

    @extend_schema(
        summary="Name a contributing factor", request=FactorSerializer, responses={201: FactorSerializer}
    )
    @action(detail=True, methods=["post"])
    def factors(self, request: Request, pk: str) -> Response:
        """One cause among several, with its evidence."""
        made = postmortem.name_factor(
            self.get_object(), by=person_of(request), **read(FactorSerializer, request)
        )
        return Response(FactorSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Add an action item", request=ActionItemSerializer, responses={201: ActionItemSerializer}
    )
    @action(detail=True, methods=["post"])
    def actions(self, request: Request, pk: str) -> Response:
        """Refused with 409 when nobody could check it."""
        pm = self.get_object()
        item = postmortem.add_action(
            pm.incident, by=person_of(request), **read(ActionItemSerializer, request)
        )
        return Response(ActionItemSerializer(item).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Say why there are no action items",
        request=NoActionsSerializer,
        responses=PostMortemSerializer,
    )
    @action(detail=True, methods=["put"], url_path="no-actions")
    def no_actions(self, request: Request, pk: str) -> Response:
        """Closing an incident needs an action item or this reason."""
        pm = self.get_object()
        because = read(NoActionsSerializer, request)["because"]
        return self._shown(postmortem.no_actions(pm, by=person_of(request), because=because))

    @extend_schema(summary="Re-open the review", request=ReasonSerializer, responses=PostMortemSerializer)
    @action(detail=True, methods=["post"])
    def reopening(self, request: Request, pk: str) -> Response:
        """An approved post-mortem becomes a draft again; its sign-offs are asked for anew."""
        pm = self.get_object()
        reason = read(ReasonSerializer, request)["reason"]
        return self._shown(postmortem.reopen_review(pm, by=person_of(request), reason=reason))

    @extend_schema(summary="Close an action item", request=ClosingSerializer, responses=ActionItemSerializer)
    @action(detail=True, methods=["post"], url_path="actions/(?P<item>[0-9]{1,18})/closing")
    def closing(self, request: Request, pk: str, item: str) -> Response:
        """Closing needs evidence."""
        found = get_object_or_404(self.get_object().incident.action_items, pk=int(item))
        evidence = read(ClosingSerializer, request)["evidence"]
        postmortem.finish_action(found, by=person_of(request), evidence=evidence)
        return Response(ActionItemSerializer(found).data)

    @extend_schema(summary="Sign off", request=ReviewSerializer, responses={201: ReviewSerializer})
    @action(detail=True, methods=["post"])
    def reviews(self, request: Request, pk: str) -> Response:
        """In a role that you hold; the last missing yes approves the report."""
        row = postmortem.review(self.get_object(), by=person_of(request), **read(ReviewSerializer, request))
        return Response(ReviewSerializer(row).data, status=status.HTTP_201_CREATED)

    def _shown(self, pm: PostMortem, code: int = 200) -> Response:
        return Response(PostMortemSerializer(self.get_queryset().get(pk=pm.pk)).data, status=code)
