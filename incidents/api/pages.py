"""Cursor pages: stable under new rows, one query per page."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.serializers import ValidationError as Invalid


class CursorPages(CursorPagination):
    """`?cursor=` from the links `next` and `previous`; `?limit=` up to 200."""

    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "Rows a page, 1 to 200; default 50."
    cursor_query_description = "Place in the list, from the links `next` and `previous`."
    max_page_size = 200
    ordering: Any = "-id"

    def get_page_size(self, request: Any) -> int:
        text = request.query_params.get("limit", "").strip()
        if not text:
            return self.page_size
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= self.max_page_size):
            raise Invalid({"limit": [f"Give a number from 1 to {self.max_page_size}."]})
        return int(text)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, TypeError, OverflowError, ValidationError) as error:
            raise Invalid(
                {"cursor": ["This is no place in this list; take the cursor from a link, or leave it out."]}
            ) from error


class NewestFirst(CursorPages):
    ordering = ("-detected_at", "-id")


class LastSeenFirst(CursorPages):
    ordering = ("-last_seen", "-id")


class OldestFirst(CursorPages):
    ordering = ("at", "id")


class OldestAdded(CursorPages):
    ordering = "id"


class DueFirst(CursorPages):
    ordering = ("due_at", "id")


class BySlug(CursorPages):
    ordering = "slug"
