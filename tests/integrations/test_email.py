"""E-mail: messages on paper, and a mailbox that is really asked."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import Inbound, Polled, Refusal, Request, SendError, Unreadable
from integrations.shelf import provider
from tests.integrations.imap import Mailbox, imap
from tests.integrations.inbound import NOON
from tests.integrations.test_http import identity

pytestmark = pytest.mark.once

RFC822 = {"content-type": "message/rfc822"}


def mail(body: str = "", subject: str = "PSI of churn", html: str = "", **headers: str) -> bytes:
    made = EmailMessage()
    made["From"] = headers.pop("sender", "Drift Monitor <monitor@example.org>")
    made["Subject"] = subject
    made["Message-ID"] = headers.pop("id", "<1@example.org>")
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(body)
    if html:
        made.add_alternative(html, subtype="html")
    return made.as_bytes()


def received(raw: bytes, **headers: str) -> Inbound:
    return Inbound(
        {**RFC822, **{k.replace("_", "-"): v for k, v in headers.items()}}, raw, NOON, "connection:1", 7
    )


def said(raw: bytes, **settings: Any) -> Any:
    found = provider("email").parse(received(raw), settings)
    assert provider("email").admit(received(raw), settings) == len(found)
    return found


def test_lines_of_the_text_tell_what_it_is_about() -> None:
    body = "Model: churn\n* Feature = tenure\nValue: 0.31\nThreshold: 0.2\nSeverity: warning\nhttps://example.org/d/1."
    [signal] = said(mail(body, Date="Tue, 03 Feb 2026 05:05:06 +0100"))
    assert (signal.system, signal.feature, signal.value, signal.threshold) == ("churn", "tenure", 0.31, 0.2)
    assert (signal.level, signal.title) == ("warning", "PSI of churn")
    assert signal.observed_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert signal.links[0][1] == "https://example.org/d/1"
    assert signal.delivery_key == "<1@example.org>"


@pytest.mark.parametrize(
    ("subject", "title", "status", "level"),
    [
        ("[FIRING:1] PSI (churn)", "PSI (churn)", "firing", None),
        ("[RESOLVED] PSI (churn)", "PSI (churn)", "resolved", None),
        ("Re: AW: RESOLVED: PSI (churn)", "PSI (churn)", "resolved", None),
        ('ALARM: "drift" in EU', '"drift" in EU', "firing", None),
        ("OK: drift", "drift", "resolved", None),
        ("[CRITICAL] drift", "drift", "firing", "critical"),
        ("** PROBLEM ** drift", "** PROBLEM ** drift", "firing", None),
        ("PROBLEM - drift", "drift", "firing", None),
        ("Model: weekly report", "Model: weekly report", "firing", None),
        ("Größe der Daten 📉", "Größe der Daten 📉", "firing", None),
    ],
)
def test_the_subject_tells_state_and_level(subject: str, title: str, status: str, level: str | None) -> None:
    [signal] = said(mail(subject=subject))
    assert (signal.title, signal.status, signal.level) == (title, status, level)


def test_firing_and_resolved_of_one_sender_share_a_fingerprint() -> None:
    [begun] = said(mail(subject="[FIRING:2] PSI"))
    [over] = said(mail(subject="Re: [RESOLVED] psi", id="<2@example.org>"))
    [other] = said(mail(subject="[FIRING:2] PSI", sender="else@example.org"))
    assert begun.fingerprint == over.fingerprint != other.fingerprint
    [named] = said(mail("Alert ID: a-9", subject="one"))
    assert named.fingerprint == said(mail("alert_id: a-9\nStatus: resolved", subject="two"))[0].fingerprint


def test_of_html_only_the_text_is_read() -> None:
    html = "<html><head><style>x{}</style></head><script>alert(1)</script><p>Model: churn</p><table><tr><td>Value:</td><td>3</td></tr></table>&lt;b&gt;</html>"
    made = EmailMessage()
    made["From"], made["Subject"] = "a@example.org", "Report"
    made.set_content(html, subtype="html")
    [signal] = said(made.as_bytes())
    assert (signal.system, signal.value) == ("churn", 3)
    assert "alert(1)" not in signal.description
    assert "x{}" not in signal.description
    [both] = said(mail("Model: plain", html="<p>Model: marked</p>"))
    assert both.system == "plain"


def test_json_as_text_is_read_in_our_own_shape() -> None:
    [signal] = said(mail('{"title": "PSI", "dedup_key": "k", "severity": "critical"}'))
    assert (signal.title, signal.fingerprint, signal.level) == ("PSI", "k", "critical")
    [broken] = said(mail('{"title": '))
    assert broken.title == "PSI of churn"


def test_attachments_are_named_and_not_opened() -> None:
    made = EmailMessage()
    made["From"], made["Subject"] = "a@example.org", "Report"
    made.set_content("Model: churn")
    made.add_attachment(
        b"MZ\x90Model: evil", maintype="application", subtype="x-msdownload", filename="../../run.exe"
    )
    made.add_attachment("Model: evil", filename="note.txt")
    [signal] = said(made.as_bytes())
    assert signal.system == "churn"
    assert signal.extra["attachments"] == [{"name": "../../run.exe", "type": "application/x-msdownload"},
                                           {"name": "note.txt", "type": "text/plain"}]  # fmt: skip


@pytest.mark.parametrize("header", [{"Auto_Submitted": "auto-replied (vacation)"}, {"X_Holdfast_Key": "k"}])
def test_answers_of_machines_say_nothing(header: dict[str, str]) -> None:
    assert said(mail(**header)) == []


def test_returned_mail_says_nothing() -> None:
    assert (
        said(
            b"From: MAILER-DAEMON@x\r\nSubject: Undelivered\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b--\r\n"
        )
        == []
    )


def test_only_named_and_proven_senders_are_read() -> None:
    assert len(said(mail(), senders="monitor@example.org")) == 1
    assert len(said(mail(), senders="other.example, @example.org")) == 1
    for settings in ({"senders": "example.com"}, {"senders": "other@example.org"}, {"dmarc": True}):
        with pytest.raises(Unreadable, match=r"sender|DMARC"):
            provider("email").parse(received(mail()), settings)
    proven = mail(Authentication_Results="mx.example.com; spf=pass; dmarc=pass header.from=example.org")
    assert len(said(proven, dmarc=True)) == 1
    forged = b"Authentication-Results: mx.example.com; dmarc=fail\r\n" + proven
    with pytest.raises(Unreadable):
        provider("email").parse(received(forged), {"dmarc": True})


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: =?utf-8?B?w6?=\r\n\r\nx",
        b"Subject: =?klingon?Q?x?=\r\n\r\nx",
        b"Subject: x\r\nDate: yesterday\r\n\r\nx",
        b"Subject: x\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe",
        b"Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%",
        b"Subject: x\r\nContent-Type: multipart/mixed\r\n\r\nno boundary",
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntruncat",
        b"From: =?utf-8?q?=C3?= <>\r\nSubject:\r\n\r\n",
        b"Subject: \xff\xfe\x00\r\n\r\n\x00",
        b"Subject: " + b"x" * 100_000 + b"\r\n\r\n" + b"y" * 5_000_000,
        b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p" * 50_000,
    ],
)
def test_odd_messages_are_borne(raw: bytes) -> None:
    [signal] = said(raw)
    assert signal.title
    assert "\0" not in signal.title + signal.description


def test_a_message_nested_without_end_is_set_aside() -> None:
    nested = b"Subject: x\r\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3000)
    )
    with pytest.raises(Unreadable, match="no e-mail that can be read"):
        provider("email").parse(received(nested), {})


def test_a_header_that_the_standard_library_stumbles_over_sets_the_message_aside() -> None:
    broken = b"Subject: x\r\nContent-Type: text/plain; name*=te\x00x''y\r\n\r\nx"
    with pytest.raises(Unreadable, match="not read"):
        provider("email").parse(received(broken), {})


def test_what_is_no_mail_is_set_aside_and_strangers_are_refused() -> None:
    assert provider("email").admit(received(b"hello"), {}) == 1
    with pytest.raises(Unreadable, match="neither sender nor subject"):
        provider("email").parse(received(b"hello"), {})
    with pytest.raises(Refusal):
        provider("email").admit(received(mail()), {"secret": "right-secret"})
    assert (
        provider("email").admit(
            received(mail(), x_holdfast_secret="right-secret"), {"secret": "right-secret"}
        )
        == 1
    )


def test_a_message_may_come_as_base64() -> None:
    coded = base64.b64encode("Subject: Größe\r\n\r\nx".encode("latin-1"))
    inbound = received(coded, content_transfer_encoding="base64")
    assert len(provider("email").parse(inbound, {})) == 1
    with pytest.raises(Unreadable, match="base64"):
        provider("email").parse(received(b"x", content_transfer_encoding="base64"), {})


# --- the mailbox --------------------------------------------------------------------------------------------


@pytest.fixture
def local(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


def round_of(port: int, memory: Any = None, **more: Any) -> Polled:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "encryption": "none",
        "user": "ann",
        "password": "right",
        **more,
    }
    polling = provider("email").poll(settings, memory or {}, NOON)
    try:
        asked = next(polling)
        while True:
            asked = polling.send(http.send(asked))
    except StopIteration as end:
        polled: Polled = end.value
        return polled


@pytest.mark.usefixtures("local")
def test_a_mailbox_is_read_from_where_it_ended_and_nothing_is_marked() -> None:
    box = Mailbox()
    box.add(mail(subject="old"))
    with imap(box) as port:
        first = round_of(port)
        assert (list(first.messages), first.memory) == ([], {"uidvalidity": 7, "uid": 1})
        box.add(mail(subject="new"))
        box.add("From: a@example.org\r\nSubject: x\r\n\r\nGrüße".encode("latin-1"))
        second = round_of(port, first.memory)
        third = round_of(port, second.memory)
    assert [one.key for one in second.messages] == ["imap 7 2", "imap 7 3"]
    assert list(third.messages) == []
    titles = [
        provider("email").parse(Inbound(one.headers, one.body, NOON), {})[0].title for one in second.messages
    ]
    assert titles == ["new", "x"]
    for one in second.messages:
        one.body.decode()  # the inbox keeps text
    assert any(command.startswith("EXAMINE") for command in box.heard)
    assert not any(command.startswith(("SELECT", "UID STORE")) for command in box.heard)


@pytest.mark.usefixtures("local")
def test_a_full_mailbox_is_read_in_portions() -> None:
    box = Mailbox()
    for number in range(130):
        box.add(mail(subject=f"s{number}"))
    with imap(box) as port:
        first = round_of(port, {"uidvalidity": 7, "uid": 0})
        second = round_of(port, first.memory)
    assert (len(first.messages), len(second.messages), second.memory["uid"]) == (100, 30, 130)


@pytest.mark.usefixtures("local")
def test_a_mailbox_that_was_numbered_anew_is_read_from_its_end() -> None:
    box = Mailbox(validity=8)
    box.add(mail())
    with imap(box) as port:
        polled = round_of(port, {"uidvalidity": 7, "uid": 900})
    assert (list(polled.messages), polled.memory) == ([], {"uidvalidity": 8, "uid": 1})


@pytest.mark.usefixtures("local")
def test_a_refusal_says_what_to_do() -> None:
    with imap(Mailbox()) as port:
        with pytest.raises(SendError, match="app password") as failed:
            round_of(port, password="wrong")
        assert not failed.value.retryable
        with pytest.raises(SendError, match="404"):
            round_of(port, mailbox="Archive")
        with pytest.raises(SendError, match="no STARTTLS") as clear:
            round_of(port, encryption="starttls")
        assert not clear.value.retryable
    with pytest.raises(SendError, match="Could not reach") as away:
        round_of(port)
    assert away.value.retryable


def test_an_address_inside_is_refused_like_every_other(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = []
    with imap(Mailbox()) as port, pytest.raises(SendError, match="HOLDFAST_EGRESS_ALLOW"):
        round_of(port)


@pytest.mark.usefixtures("local")
def test_tls_is_verified_and_the_password_goes_only_through_it(settings: Settings, tmp_path: Path) -> None:
    bundle, tls = identity("localhost", tmp_path)
    box = Mailbox()
    with imap(box, tls) as port:
        settings.HOLDFAST_CA_BUNDLE = bundle
        polled = round_of(port, encryption="tls", host="localhost")
        assert polled.memory["uidvalidity"] == 7
        box.heard.clear()
        settings.HOLDFAST_CA_BUNDLE = ""
        with pytest.raises(SendError, match="certificate"):
            round_of(port, encryption="tls", host="localhost")
    assert not any("LOGIN" in command for command in box.heard)


def test_a_host_is_a_host_name() -> None:
    for host in ("user@evil.example", "a/b", "a:25", ""):
        polling = provider("email").poll({"host": host, "user": "u", "password": "p"}, {}, NOON)
        with pytest.raises((SendError, StopIteration)):
            next(polling)
    assert set(provider("email").check({"host": "h"})) == {"user", "password"}
    asked = next(provider("email").poll({"host": "h.example", "user": "u", "password": "p"}, {}, NOON))
    assert isinstance(asked, Request)
    assert asked.url == "imaps://h.example/INBOX"
