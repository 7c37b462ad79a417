"""What people do on an incident by call: its facts, its tasks, need-to-know."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.api import incident_shapes as shapes
from incidents.api.base import person_of, read, telling_values
from incidents.api.fields import PersonField
from incidents.models import Task


class TaskSerializer(serializers.ModelSerializer):
    """Something a person has to do."""

    assignee = PersonField(required=False, allow_null=True, default=None)
    done_by = serializers.CharField(source="done_by.username", default=None, read_only=True)

    class Meta:
        model = Task
        fields: tuple[str, ...] = (
            "id", "kind", "title", "assignee", "due_at", "done_at", "done_by", "created_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = ("id", "done_at", "done_by", "created_at")


class RestrictionSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=300)


class Working:
    """The part of the incidents' view that is about facts, tasks and who needs to know."""

    @extend_schema(
        summary="Change facts", request=shapes.FactsSerializer, responses=shapes.IncidentDetailSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """What is left out stays. State, severity and command have verbs of their own."""
        incident = self.get_object()  # type: ignore[attr-defined]
        with telling_values():
            incident.fill(by=request.user, **read(shapes.FactsSerializer, request, partial=True))
        return self._detail(incident)  # type: ignore[attr-defined]

    @extend_schema(
        summary="Restrict to those who need to know",
        request=RestrictionSerializer,
        responses=shapes.IncidentDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def restriction(self, request: Request, pk: str) -> Response:
        """From then on only named people, commanders and security see it."""
        incident = self.get_object()  # type: ignore[attr-defined]
        incident.restrict(by=request.user, reason=read(RestrictionSerializer, request)["reason"])
        return self._detail(incident)  # type: ignore[attr-defined]

    @extend_schema(summary="Tasks, open ones first", responses=TaskSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def tasks(self, request: Request, pk: str) -> Response:
        """By due time."""
        rows = self.get_object().tasks.select_related("assignee", "done_by")  # type: ignore[attr-defined]
        return Response(TaskSerializer(rows, many=True).data)

    @extend_schema(summary="Give a task", request=TaskSerializer, responses={201: TaskSerializer})
    @tasks.mapping.post
    def give_task(self, request: Request, pk: str) -> Response:
        """To somebody, or to nobody yet."""
        incident = self.get_object()  # type: ignore[attr-defined]
        data: dict[str, Any] = read(TaskSerializer, request)
        made = Task.give(incident, by=person_of(request), title=data.pop("title"), **data)
        return Response(TaskSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="A task is done", request=None, responses=TaskSerializer)
    @action(detail=True, methods=["post"], url_path="tasks/(?P<item>[0-9]{1,18})/done")
    def task_done(self, request: Request, pk: str, item: str) -> Response:
        """Whoever calls did it."""
        task = get_object_or_404(self.get_object().tasks, pk=int(item))  # type: ignore[attr-defined]
        task.complete(by=person_of(request))
        return Response(TaskSerializer(task).data)
