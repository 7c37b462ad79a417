"""What a browser with an empty cache fetches for the first page after the sign-in."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from django.test import Client

from tests import scenes

pytestmark = pytest.mark.django_db

KILOBYTE = 1024


def fetched(client: Client, path: str) -> tuple[int, str]:
    """Bytes that travel, packed where the server packs them, and the text."""
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200, path
    packed = b"".join(answer) if answer.streaming else answer.content  # type: ignore[arg-type]
    plain = client.get(path)
    text = b"".join(plain) if plain.streaming else plain.content  # type: ignore[arg-type]
    return len(packed), text.decode()


def test_the_first_page_is_light_and_asks_no_other_host() -> None:
    ann = scenes.person("ann", "IC", "ADM")
    for n in range(15):
        scenes.incident(ann, title=f"Income drifts {n}", system=scenes.system(f"system-{n}"))
    client = Client()
    client.force_login(ann)
    weight, page = fetched(client, "/")
    needed = re.findall(r'<(?:script|img|source|iframe)[^>]* src="([^"]+)"', page)
    needed += re.findall(r'<link[^>]* href="([^"]+)"', page)
    assert any(".css" in one for one in needed)
    assert any(".js" in one for one in needed)
    assert [one for one in needed if urlsplit(one).netloc] == []
    for one in set(needed):
        more, text = fetched(client, one)
        weight += more
        assert not re.search(r"url\(['\"]?(https?:)?//", text), one
    assert len(set(needed)) + 1 < 20
    assert weight < 150 * KILOBYTE


def test_pages_and_styles_travel_packed() -> None:
    client = Client()
    client.force_login(scenes.person("ann", "IC"))
    for path in ("/", "/static/holdfast/holdfast.css"):
        packed, text = fetched(client, path)
        assert packed < len(text.encode()) / 2
