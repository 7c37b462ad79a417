"""Addresses of static files carry a hash of their content, computed from where the files lie."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage


@lru_cache(maxsize=4096)
def _hash(name: str) -> str:
    path = finders.find(name)
    if not path:
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:10]


class HashedAddresses(StaticFilesStorage):
    """`app.css` → `/static/app.css?v=3f1c…`: browsers may keep it, and a new release is a new address."""

    def url(self, name: str | None) -> str:
        address = super().url(name)
        if settings.DEBUG or not name:
            return address
        version = _hash(name)
        return f"{address}?v={version}" if version else address
