"""The guide "Adding an integration": its example is a provider, from the shelf to the wire, without another line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integrations import providers as folder
from integrations import shelf
from integrations.contract import Inbound, Provider, SendError
from tests.integrations.test_pages import ada, page, url
from tests.integrations.wire import answered, converse, in_turn, told
from tests.processes import ROOT

SETTINGS = {"loudspeaker": "https://doorbell.example/say", "key": "very-secret"}


@pytest.fixture
def doorbell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """The guide's file, laid on the shelf."""
    text = (ROOT / "docs/adding-an-integration.md").read_text(encoding="utf-8")
    code = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert code is not None
    (tmp_path / "doorbell.py").write_text(code[1], encoding="utf-8")
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    shelf.providers.cache_clear()
    yield shelf.provider("doorbell")
    sys.modules.pop("integrations.providers.doorbell", None)
    monkeypatch.undo()
    shelf.providers.cache_clear()


def test_one_file_is_a_provider_that_reads_and_tells(doorbell: Provider) -> None:
    for example in doorbell.examples:
        inbound = Inbound(example.headers, example.body, datetime.now(UTC), "connection:1")
        assert doorbell.admit(inbound, {}) == example.alerts
        (signal,) = doorbell.parse(inbound, {})
        assert (signal.fingerprint, signal.status) == ("door-north", "firing")  # type: ignore[union-attr]
    sent, requests = converse(doorbell.compose(told(), SETTINGS, None), in_turn(answered(200)))
    assert sent.remote_id == requests[0].json["id"] == told().idempotency_key
    assert doorbell.secrets(SETTINGS) == ["very-secret"]


@pytest.mark.parametrize(("status", "retryable"), [(429, True), (503, True), (401, False)])
def test_its_failures_are_told_apart(doorbell: Provider, status: int, retryable: bool) -> None:
    with pytest.raises(SendError) as failed:
        converse(doorbell.compose(told(), SETTINGS, None), in_turn(answered(status, retry_after="3")))
    assert failed.value.retryable is retryable
    assert failed.value.retry_after == (3 if status == 429 or status == 503 else None)


@pytest.mark.django_db
def test_it_is_offered_with_its_form_and_its_example(doorbell: Provider) -> None:
    assert "?provider=doorbell" in page(ada(), url("new"))
    shown = page(ada(), url("new") + "?provider=doorbell")
    assert 'name="loudspeaker"' in shown
    assert "&quot;door&quot;: &quot;north&quot;" in shown
