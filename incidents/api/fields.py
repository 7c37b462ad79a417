"""Fields and small shapes that several nouns share."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from incidents.models import AISystem, Event, User


class PersonField(serializers.SlugRelatedField):
    """A user by username."""

    def __init__(self, **kwargs: Any) -> None:
        if not kwargs.get("read_only"):
            kwargs = {"queryset": User.objects.filter(is_active=True)} | kwargs
        super().__init__(slug_field="username", **kwargs)


class SystemField(serializers.SlugRelatedField):
    """An AI system by slug."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="slug", **({"queryset": AISystem.objects.all()} | kwargs))


class EventSerializer(serializers.ModelSerializer):
    """One entry of a timeline."""

    by = serializers.CharField(source="by.username", default=None, read_only=True)
    incident = serializers.CharField(source="incident.key", default=None, read_only=True)

    class Meta:
        model = Event
        fields: tuple[str, ...] = (
            "id",
            "incident",
            "kind",
            "at",
            "recorded_at",
            "by",
            "actor",
            "text",
            "data",
            "corrects",
        )
        read_only_fields: tuple[str, ...] = fields
