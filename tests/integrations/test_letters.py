"""Letters about incidents: Ann and Bob read them; a real mail server of the tests takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import Inbound, SendError, Sent
from integrations.providers.email import RFC822
from integrations.shelf import provider
from tests.integrations.inbound import NOON
from tests.integrations.smtp import PostOffice, smtp
from tests.integrations.test_http import identity
from tests.integrations.wire import HOSTILE, converse, told

pytestmark = pytest.mark.once

EMAIL = provider("email")
SETTINGS = {
    "smtp_host": "127.0.0.1",
    "smtp_encryption": "none",
    "sender": "Holdfast <holdfast@example.org>",
    "to": "ann@example.org, Bob <bob@example.org>",
}


@pytest.fixture(autouse=True)
def reachable(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


def send(
    port: int, kind: str = "opened", settings: dict[str, Any] | None = None, **facts: Any
) -> tuple[Sent, Any]:
    filled = {**SETTINGS, "smtp_port": port, **(settings or {})}
    return http.run(EMAIL.compose(told(kind, **facts), filled, None), secrets=EMAIL.secrets(filled))


def test_a_letter_says_what_happened_in_text_and_in_html() -> None:
    office = PostOffice()
    with smtp(office) as port:
        sent, _ = send(port)
    [(sender, to, _)] = office.taken
    assert "<holdfast@example.org>" in sender
    assert len(to) == 2
    assert "<ann@example.org>" in to[0]
    assert "<bob@example.org>" in to[1]
    [letter] = office.letters()
    assert letter["Subject"] == "[INC-7] SEV2 Score drift in credit-risk"
    assert letter["From"] == "Holdfast <holdfast@example.org>"
    assert letter["Date"] == "Wed, 04 Mar 2026 10:12:13 +0000"
    plain, html = (letter.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    for said in (
        "Incident opened",
        "PSI 0.31 on 12 features",
        "Anna Berg",
        "https://holdfast.example.org/incidents/INC-7/",
    ):
        assert said in plain.get_content()
        assert said in html.get_content()
    assert sent.part == letter["Message-ID"]
    assert sent.remote_id == letter["References"]


def test_letters_about_one_incident_stand_in_one_thread() -> None:
    office = PostOffice()
    with smtp(office) as port:
        for kind in ("opened", "mitigated"):
            send(port, kind)
        send(port, incident_key="INC-8", idempotency_key="x")
    first, second, other = office.letters()
    assert first["References"] == second["References"] == second["In-Reply-To"] != other["References"]
    assert first["Message-ID"] != second["Message-ID"]
    assert first["Subject"] == second["Subject"]


def test_a_letter_that_is_sent_again_is_the_same_letter() -> None:
    office = PostOffice()
    with smtp(office) as port:
        send(port)
        send(port)
    assert office.taken[0][2] == office.taken[1][2]


def test_a_route_may_name_other_recipients() -> None:
    office = PostOffice()
    with smtp(office) as port:
        send(port, channel="carla@example.org")
    assert [to for _, to, _ in office.taken] == [["rcpt TO:<carla@example.org>"]]


@pytest.mark.parametrize("kind", sorted(EMAIL.carries))
def test_hostile_text_stays_text(kind: str) -> None:
    office = PostOffice()
    names = ("title", "text", "system", "owner", "state")
    with smtp(office) as port:
        send(port, kind, **dict.fromkeys(names, f"x\r\nBcc: evil@example.org\r\n\r\n<b>{HOSTILE}"))
    [(_, to, raw)] = office.taken
    [letter] = office.letters()
    assert len(to) == 2
    assert letter["Bcc"] is None
    html = letter.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()
    assert "<b>" not in html.get_content()
    assert max(len(line) for line in raw.splitlines()) <= 998
    assert len(raw) < 256 * 1024


def test_our_own_letters_are_passed_over_by_our_own_mailbox() -> None:
    _, [request] = converse(
        EMAIL.compose(told(), SETTINGS, None), lambda request: http.Response(200, {}, "", {"refused": {}})
    )
    assert request.body is not None
    assert EMAIL.parse(Inbound({"content-type": RFC822}, request.body, NOON), {}) == []


def test_starttls_is_verified_and_comes_before_login_and_letter(settings: Settings, tmp_path: Path) -> None:
    settings.HOLDFAST_CA_BUNDLE, context = identity("localhost", tmp_path)
    office = PostOffice(starttls=context, password="right")
    secure = {
        "smtp_host": "localhost",
        "smtp_encryption": "starttls",
        "smtp_user": "ann",
        "smtp_password": "right",
    }
    with smtp(office) as port:
        _, transcript = send(port, settings=secure)
        assert office.encrypted == [True]
        words = [line.split(" ")[0].upper() for line in office.heard]
        assert words.index("STARTTLS") < words.index("AUTH") < words.index("MAIL")
        assert "cmlnaHQ" not in str(transcript)
        assert "right" not in str(transcript)
        settings.HOLDFAST_CA_BUNDLE = ""
        with pytest.raises(SendError, match="certificate"):
            send(port, settings=secure)
    assert len(office.taken) == 1


def test_tls_from_the_first_byte(settings: Settings, tmp_path: Path) -> None:
    settings.HOLDFAST_CA_BUNDLE, context = identity("localhost", tmp_path)
    office = PostOffice()
    with smtp(office, context) as port:
        send(port, settings={"smtp_host": "localhost", "smtp_encryption": "tls"})
    assert office.encrypted == [True]


def test_a_server_without_starttls_gets_nothing() -> None:
    office = PostOffice()
    with smtp(office) as port, pytest.raises(SendError, match="STARTTLS") as caught:
        send(port, settings={"smtp_encryption": "starttls"})
    assert not caught.value.retryable
    assert office.taken == []


def test_a_private_server_needs_permission(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = []
    office = PostOffice()
    with smtp(office) as port, pytest.raises(SendError, match="HOLDFAST_EGRESS_ALLOW") as caught:
        send(port)
    assert not caught.value.retryable
    assert office.heard == []


def test_a_refused_login_is_told_and_the_password_is_not() -> None:
    office = PostOffice(password="right")
    with smtp(office) as port, pytest.raises(SendError, match=r"wrong password.*Check user") as caught:
        send(port, settings={"smtp_user": "ann", "smtp_password": "wr0ng-s3cr3t"})
    assert not caught.value.retryable
    assert "wr0ng-s3cr3t" not in f"{caught.value}{caught.value.transcript}"


@pytest.mark.parametrize(
    ("refuses", "retryable", "words"),
    [
        ({"RCPT": "550 5.1.1 nobody here"}, False, "422"),
        ({"RCPT": "450 4.2.1 try later"}, True, "503"),
        ({"MAIL": "451 4.7.1 greylisted"}, True, "greylisted"),
        ({"MAIL": "553 5.7.1 sender refused"}, False, "sender refused"),
        ({"DATA": "452 4.3.1 no space"}, True, "no space"),
        ({"DATA": "554 5.6.0 we take no such mail"}, False, "no such mail"),
        ({"EHLO": "421 closing", "HELO": "421 closing"}, True, "closing"),
    ],
)
def test_what_passes_is_tried_again_and_what_does_not_is_told(
    refuses: dict[str, str], retryable: bool, words: str
) -> None:
    office = PostOffice(refuses=refuses)
    with smtp(office) as port, pytest.raises(SendError, match=words) as caught:
        send(port)
    assert caught.value.retryable is retryable
    assert office.taken == []


def test_a_recipient_who_is_not_there_keeps_nobody_else_from_reading() -> None:
    office = PostOffice(refuses={"RCPT TO:<BOB": "550 5.1.1 nobody here"})
    with smtp(office) as port:
        sent, _ = send(port)
    assert len(office.taken) == 1
    assert "bob@example.org (550 5.1.1 nobody here)" in sent.note


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with smtp(PostOffice()) as port:
        pass
    with pytest.raises(SendError) as caught:
        send(port)
    assert caught.value.retryable


def test_a_mailbox_that_is_only_read_is_told_nothing() -> None:
    assert not EMAIL.takes("opened", {"host": "imap.example.org"})
    assert EMAIL.takes("opened", SETTINGS)
    assert not EMAIL.takes("answer", SETTINGS)


def test_settings_are_checked_when_they_are_entered() -> None:
    assert EMAIL.check(SETTINGS) == {}
    assert set(EMAIL.check({"smtp_host": "smtp.example.org"})) == {"sender", "to"}
    assert set(EMAIL.check({**SETTINGS, "to": "ann@example.org, nobody"})) == {"to"}
    with pytest.raises(SendError, match="addresses"):
        next(EMAIL.compose(told(channel="#ops"), SETTINGS, None))
