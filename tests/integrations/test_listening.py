"""What the monitors of models and data do with messages that are cut off, huge, or of a form nobody knows."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from integrations.contract import Refusal, Unreadable
from integrations.listening import FORM, MOST_ITEMS, is_unfilled
from integrations.shelf import provider
from tests.integrations.inbound import read, request

pytestmark = pytest.mark.once

MONITORS = (
    *("anodot", "arize", "datadog", "dbt", "evidently", "fiddler", "great_expectations", "mlflow", "nannyml"),
    *("newrelic", "sentry", "soda", "splunk", "wandb", "whylabs"),
)
EXAMPLES = [
    pytest.param(slug, example, id=f"{slug}-{example.name}")
    for slug in MONITORS
    for example in provider(slug).examples
    if example.body != b"{}"
]

each = pytest.mark.parametrize("slug", MONITORS)


def headers_of(example: Any) -> dict[str, str]:
    return {
        name.replace("-", "_"): value for name, value in example.headers.items() if name != "content-type"
    }


@pytest.mark.parametrize(("slug", "example"), EXAMPLES)
def test_a_message_that_was_cut_off_is_refused(slug: str, example: Any) -> None:
    if example.headers.get("content-type") == FORM:
        return  # a form has no end
    for part in (1, 3, 5, 7):
        body = example.body[: len(example.body) * part // 8]
        with pytest.raises(Refusal, match="not JSON"):
            provider(slug).admit(request(body, **headers_of(example)), {})
        with pytest.raises(Unreadable, match="not JSON"):
            provider(slug).parse(request(body, **headers_of(example)), {})


@each
@pytest.mark.parametrize(
    "body",
    [
        {"hello": "world"},
        {"data": []},
        {"a": {"b": 1}},
        [{"x": 1}],
        [[]],
        5,
        "text",
        None,
        {"event": "unknown.kind"},
    ],
    ids=str,
)
def test_json_of_an_unknown_form_is_kept_and_set_aside_with_a_reason(slug: str, body: Any) -> None:
    assert provider(slug).admit(request(body), {}) == 1
    with pytest.raises(Unreadable) as reason:
        provider(slug).parse(request(body), {})
    assert len(str(reason.value)) > 30


@each
def test_a_page_of_a_proxy_is_refused(slug: str) -> None:
    with pytest.raises(Refusal, match="not JSON") as refused:
        provider(slug).admit(request(b"<!doctype html><title>502 Bad Gateway</title>"), {})
    assert refused.value.status == 422


@pytest.mark.parametrize(("slug", "example"), EXAMPLES)
def test_five_megabytes_of_text_are_read_in_a_moment(slug: str, example: Any) -> None:
    if example.body[:1] != b"{":
        return
    whole = json.loads(example.body)
    whole["message"] = whole["description"] = "<b>日本 " * 250_000
    inbound = request(json.dumps(whole).encode(), **headers_of(example))
    begun = time.process_time()
    provider(slug).parse(inbound, {})
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(("slug", "example"), EXAMPLES)
def test_a_message_that_comes_again_reports_the_same_conditions(slug: str, example: Any) -> None:
    inbound = request(
        example.body, **{"content_type": example.headers["content-type"], **headers_of(example)}
    )
    assert read(slug, inbound) == read(slug, inbound)
    assert provider(slug).delivery_key(inbound) == provider(slug).delivery_key(inbound)


@each
def test_a_secret_keeps_strangers_out(slug: str) -> None:
    one = provider(slug)
    example = one.examples[0]
    for field in one.fields:
        if field.secret:
            inbound = request(example.body, **headers_of(example))
            with pytest.raises(Refusal) as refused:
                one.admit(inbound, {field.name: "only-they-know-it"})
            assert refused.value.status == 401
            assert "only-they-know-it" not in str(refused.value)


def test_a_report_of_too_many_checks_is_refused_as_a_whole() -> None:
    checks = [{"id": f"c-{number}", "outcome": "pass"} for number in range(MOST_ITEMS + 1)]
    with pytest.raises(Refusal, match="at most 2000") as refused:
        provider("soda").admit(request({"event": "checkEvaluation", "checkResults": checks}), {})
    assert refused.value.status == 413
    assert len(read("soda", request({"event": "checkEvaluation", "checkResults": checks[1:]}))) == MOST_ITEMS


@pytest.mark.parametrize(
    "value", ["{{title}}", "{{ the link }}", "$ALERT_ID", "${event_type}", "<[[run-id]]>", " $ID "]
)
def test_a_variable_that_nobody_filled_in_is_known(value: str) -> None:
    assert is_unfilled(value)


@pytest.mark.parametrize(
    "value", ["$5", "cost in $USD", "{{a}} of {{b}} is high", "", None, 7, {"a": 1}, "<user>", "${}"]
)
def test_text_that_only_holds_one_is_text(value: Any) -> None:
    assert not is_unfilled(value)


def test_a_form_is_read_whether_it_holds_fields_or_the_whole_message() -> None:
    fields = b"alert_id=7&title=%5BTriggered%5D+Drift+%3C%2F%3E&tags=model%3Achurn%2Cenv%3Aprod&org=%7B%22name%22%3A%22Acme%22%7D"
    [signal] = read("datadog", request(fields, content_type=FORM))
    assert (signal.title, signal.system, signal.labels["org"]) == ("Drift </>", "churn", "Acme")
    whole = b"payload=%7B%22alert_id%22%3A7%2C%22title%22%3A%22Drift%22%7D"
    [signal] = read("datadog", request(whole, content_type=FORM))
    assert signal.title == "Drift"
    many = b"&".join(b"a%d=1" % number for number in range(2000))
    with pytest.raises(Refusal, match="form cannot be read"):
        provider("datadog").admit(request(many, content_type=FORM), {})
