"""Cursor pages: stable under new rows, one query per page."""

from rest_framework.pagination import CursorPagination


class CursorPages(CursorPagination):
    """`?cursor=` from the links `next` and `previous`; `?limit=` up to 200."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    ordering = "-id"
