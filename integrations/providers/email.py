"""E-mail: alerts out of a mailbox (IMAP) or handed over by a mail server; news of incidents as letters (SMTP)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message
from email.utils import getaddresses, parseaddr
from typing import Any

from incidents.intake.signal import Level, Signal, Status
from integrations import letters, mails, normalise
from integrations.authenticity import SHARED_SECRET, require_shared
from integrations.contract import (
    Announcement,
    Conversation,
    Example,
    Fetched,
    Field,
    Inbound,
    Polled,
    Polling,
    Provider,
    Request,
    SendError,
    Sent,
    Unreadable,
)
from integrations.listening import entries, mapping
from integrations.normalise import first, text
from integrations.shape import Unfit, signal_of
from integrations.vendor import HAPPENED, failure

RFC822 = "message/rfc822"
#: Requests of one round of polling; characters of a text that are read; links and attachments that are kept.
ROUNDS, LINKS = 4, 5

_ADDRESS = re.compile(r"[^\s@<>,;\"]{1,64}@[A-Za-z0-9.-]{1,253}")
_URL = re.compile(r"https?://[^\s<>\"')\]]{4,1000}")


class Email(Provider):
    """Nothing in a message is run and no attachment is opened; its text is read, HTML without its markup."""

    title = "E-mail"
    docs = "https://www.rfc-editor.org/rfc/rfc5322"
    summary = (
        "Alerts of tools that can only write e-mail, from a mailbox of their own; letters about incidents."
    )
    inbound = True
    outbound = True
    content_types = (RFC822, "text/plain", "application/octet-stream")
    polls_every = 60.0
    fields = (
        Field("host", "IMAP server", "E.g. imap.example.org; empty: the mailbox is not asked.", required=False),
        Field("port", "Port", "993 with TLS, 143 otherwise.", kind="number", required=False),
        Field("encryption", "Encryption", kind="choice", choices=("tls", "starttls", "none"), default="tls",
              required=False),
        Field("user", "User", required=False),
        Field("password", "Password", "Of the mailbox; an app password where the account has a second factor.",
              secret=True, required=False),
        Field("mailbox", "Folder", required=False, default="INBOX"),
        Field("senders", "Senders", "Addresses and domains whose messages are read, separated by commas. Empty: all.",
              required=False),
        Field("dmarc", "Only proven senders", "Read only what the mail server found to pass DMARC.", kind="bool",
              required=False, default=False),
        SHARED_SECRET,
        Field("smtp_host", "SMTP server", "E.g. smtp.example.org; empty: no letters are sent.", required=False),
        Field("smtp_port", "Port", "465 with TLS, 587 otherwise.", kind="number", required=False),
        Field("smtp_encryption", "Encryption", kind="choice", choices=("starttls", "tls", "none"), default="starttls",
              required=False),
        Field("smtp_user", "User", "Of the SMTP server; empty: no login.", required=False),
        Field("smtp_password", "Password", "Of that user.", secret=True, required=False),
        Field("sender", "Sender", "Who letters are from, e.g. Holdfast <holdfast@example.org>.", required=False),
        Field("to", "Recipients", "Addresses, separated by commas; a route may name others.", required=False),
    )  # fmt: skip
    carries = frozenset(HAPPENED)
    digests = True
    idempotency = (
        "A message is known by its Message-ID, in a mailbox by its number; the same one again is stored once. A letter has "
        "the same Message-ID on every try, by which mail servers and programs recognise it."
    )
    limits = (
        "The first 512 KB of a message are read. A sender's address can be forged: name the senders, and let only "
        "proven ones in. Sign-in by OAuth is not supported; use an app password. https://www.rfc-editor.org/rfc/rfc5321"
    )
    examples = (
        Example(
            "firing",
            b"From: Drift Monitor <monitor@example.org>\r\nTo: alerts@example.com\r\nSubject: [FIRING:1] PSI of churn\r\n"
            b"Message-ID: <1@example.org>\r\nDate: Tue, 03 Feb 2026 04:05:06 +0000\r\nContent-Type: text/plain; charset=utf-8"
            b"\r\n\r\nModel: churn\r\nFeature: tenure\r\nValue: 0.31\r\nSeverity: warning\r\nhttps://example.org/d/1\r\n",
            {"content-type": RFC822},
        ),
        Example(
            "out of office",
            b"From: a@example.org\r\nSubject: Re: PSI\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n",
            {"content-type": RFC822},
            alerts=0,
        ),
    )  # fmt: skip

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        needed = {"host": ("user", "password"), "smtp_host": ("sender", "to")}
        wrong = {
            name: "Asking a mailbox needs this." if server == "host" else "Sending letters needs this."
            for server, names in needed.items()
            if settings.get(server)
            for name in names
            if not settings.get(name)
        }
        for name in ("sender", "to"):
            if (written := text(settings.get(name))) and not _addresses(written):
                wrong[name] = "Write addresses such as ann@example.org, separated by commas."
        return wrong

    def admit(self, inbound: Inbound, settings: Mapping[str, Any]) -> int:
        require_shared(inbound, settings)
        try:
            return len(self.parse(inbound, settings))
        except Unreadable:
            return 1  # kept, and set aside with the reason

    def delivery_key(self, inbound: Inbound) -> str:
        try:
            return mails.header(_message(inbound), "Message-ID")
        except Unreadable:
            return super().delivery_key(inbound)

    def parse(self, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        message = _message(inbound)
        try:
            return _signals(message, inbound, settings)
        # the standard library raises the last ones on broken parameters of a header
        except (RecursionError, MessageError, LookupError, TypeError, ValueError) as error:
            raise Unreadable(
                f"The message is nested or written in a way that is not read: {error}"
            ) from error

    def poll(self, settings: Mapping[str, Any], memory: Mapping[str, Any], now: datetime) -> Polling:
        """Messages after the last one known. The first round only remembers where the mailbox ends, and so does one
        after the server numbered it anew. Memory: `uidvalidity`, `uid`."""
        if not settings.get("host"):
            return Polled(memory=dict(memory))
        known, validity = memory.get("uid"), memory.get("uidvalidity")
        messages: list[Fetched] = []
        for _ in range(ROUNDS):
            response = yield _request(settings, "" if known is None else text(known))
            found = mapping(response.json)
            if response.status != 200:
                hint = "Check user and password; an account with a second factor needs an app password."
                raise failure(
                    response,
                    "The mailbox",
                    text(found.get("message")),
                    hint if response.status == 401 else "",
                )
            if known is not None and found.get("uidvalidity") != validity:
                known, validity = None, None
                continue
            known, validity = normalise.whole(found.get("last")) or 0, found.get("uidvalidity")
            messages += [
                _fetched(text(one.get("raw")), f"imap {validity} {text(one.get('uid'))}")
                for one in entries(found.get("messages"))
            ]
            if not found.get("more"):
                break
        return Polled(messages, {"uidvalidity": validity, "uid": known})

    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        return super().takes(kind, settings) and bool(settings.get("smtp_host"))

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """One letter to the recipients of the route, else of the settings."""
        to = _addresses(what.channel or text(settings.get("to")))
        sender = text(settings.get("sender"))
        if not to or not _addresses(sender):
            raise SendError(
                "A letter needs addresses to come from and to go to: correct `sender` and `to` of the connection, or the "
                "route's channel.",
                retryable=False,
            )
        body, id, thread = letters.letter(what, sender, to)
        encryption = text(settings.get("smtp_encryption")) or "starttls"
        server = _server(text(settings.get("smtp_host")), settings.get("smtp_port"), "SMTP")
        user = settings.get("smtp_user")
        response = yield Request(
            "SEND",
            f"{'smtps' if encryption == 'tls' else 'smtp'}://{server}",
            headers=_login(user, settings.get("smtp_password")) if user else {},
            body=body,
            params={
                "from": _addresses(sender)[0],
                "to": ",".join(to),
                **({"encryption": "none"} if encryption == "none" else {}),
            },
            timeout=30.0,
        )
        told = mapping(response.json)
        if not 200 <= response.status < 300:
            hint = "Check user and password of the SMTP server." if response.status == 401 else ""
            raise failure(response, self.title, f"{text(told.get('code'))} {text(told.get('message'))}", hint)
        left = mapping(told.get("refused"))
        note = f"not taken for {', '.join(f'{one} ({why})' for one, why in left.items())}" if left else ""
        return Sent(remote_id=thread, part=id, note=note)


def _addresses(written: str) -> list[str]:
    """The bare addresses of a list; empty when one of them is none."""
    found = [address for _, address in getaddresses([written])]
    return found if found and all(_ADDRESS.fullmatch(one) for one in found) else []


def _server(host: str, port: Any, title: str) -> str:
    """`host:port` for an address, or only the host."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]", host):
        raise SendError(
            f"The {title} server is a host name without anything before or behind it.", retryable=False
        )
    number = normalise.whole(port)
    return f"{host}:{number}" if number else host


def _login(user: Any, password: Any) -> dict[str, str]:
    pair = f"{text(user)}:{text(password)}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


def _request(settings: Mapping[str, Any], after: str) -> Request:
    encryption = text(settings.get("encryption")) or "tls"
    server = _server(text(settings.get("host")), settings.get("port"), "IMAP")
    return Request(
        "FETCH",
        f"{'imaps' if encryption == 'tls' else 'imap'}://{server}/{text(settings.get('mailbox')) or 'INBOX'}",
        headers=_login(settings.get("user"), settings.get("password")),
        params={"after": after, **({"encryption": "none"} if encryption == "none" else {})},
        timeout=30.0,
    )


def _fetched(coded: str, key: str) -> Fetched:
    """A message as text where it is text; else it stays base64, because the inbox keeps text."""
    raw = base64.b64decode(coded)
    if b"\0" not in raw:
        try:
            raw.decode()
        except UnicodeDecodeError:
            pass  # written in another charset: kept as base64 below
        else:
            return Fetched(raw, key, {"content-type": RFC822})
    return Fetched(coded.encode(), key, {"content-type": RFC822, "content-transfer-encoding": "base64"})


def _message(inbound: Inbound) -> Message:
    raw = inbound.body
    if inbound.headers.get("content-transfer-encoding", "").lower() == "base64":
        try:
            raw = base64.b64decode(raw)
        except (binascii.Error, ValueError) as error:
            raise Unreadable("The message says that it is base64, and is not.") from error
    try:
        message = message_from_bytes(raw.lstrip())
    except (RecursionError, ValueError, LookupError, MessageError) as error:
        raise Unreadable(f"This is no e-mail that can be read: {type(error).__name__}.") from error
    if not any(message.get(name) for name in ("From", "Subject", "Message-ID")):
        raise Unreadable("This is no e-mail: it has neither sender nor subject.")
    return message


def _signals(message: Message, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
    if _is_automatic(message):
        return []
    name, sender = parseaddr(mails.header(message, "From"))
    _require_allowed(message, sender.lower(), settings)
    written = mails.text_of(message)
    subject, words = mails.bare_subject(mails.header(message, "Subject"))
    at = mails.date_of(message)
    key = mails.header(message, "Message-ID")
    if written.lstrip().startswith("{"):
        try:
            body = normalise.read_json(written.strip())
            return [
                signal_of(body, inbound, "email", defaults={"title": subject, "observed_at": at, "id": key})
            ]
        except (normalise.NotJSON, Unfit):
            pass  # text that begins like JSON is read as text
    told = mails.facts_in(written)
    facts = normalise.facts(told)
    status: Status = (
        normalise.status(first(told, "status", "state"))
        or next((found for word in words if (found := normalise.status(word))), None)
        or "firing"
    )
    declared = first(told, "severity", "level", "priority")
    level: Level | None = normalise.level(declared) or next(
        (one for word in words if normalise.status(word) is None and (one := normalise.level(word))), None
    )
    title = subject or next(
        (line.strip() for line in written.splitlines() if line.strip()), "E-mail without text"
    )
    identity = text(first(told, "fingerprint", "alert_id", "dedup_key"))
    return [
        normalise.signal(
            inbound,
            "email",
            fingerprint=normalise.fingerprint(sender.lower(), identity or subject.lower()),
            status=status,
            title=title,
            level=level,
            family=normalise.family(told.get("family"), told.get("class"), told.get("incident_class")),
            description=written[:mails.CHARACTERS],
            labels={
                "alertname": title[:200],
                "sender": sender,
                **({"env": env} if (env := text(first(told, "env", "environment"))) else {}),
            },
            observed_at=at,
            starts_at=at if status == "firing" else None,
            ends_at=at if status == "resolved" else None,
            links=normalise.links(*(("", url.rstrip(".,;")) for url in _URL.findall(written)[:LINKS])),
            delivery_key=key,
            extra={"sender_name": text(name), "attachments": list(mails.attachments(message))},
            **facts,
        )
    ]  # fmt: skip


def _is_automatic(message: Message) -> bool:
    """Answers of absent people, returned mail, and what we wrote ourselves."""
    return (
        mails.header(message, "Auto-Submitted").lower().startswith("auto-replied")
        or message.get_content_type() == "multipart/report"
        or any(name.lower().startswith("x-holdfast") for name in message.keys())  # noqa: SIM118 - a list of headers
    )


def _require_allowed(message: Message, sender: str, settings: Mapping[str, Any]) -> None:
    allowed = [
        one.strip().lower().lstrip("@") for one in text(settings.get("senders")).split(",") if one.strip()
    ]
    domain = sender.rpartition("@")[2]
    if allowed and sender not in allowed and domain not in allowed:
        raise Unreadable(f"{sender or 'Nobody'} is not among the senders of this connection.")
    # the topmost of these headers is our own mail server's: RFC 8601, section 5
    if (
        settings.get("dmarc") is True
        and "dmarc=pass" not in mails.header(message, "Authentication-Results").lower()
    ):
        raise Unreadable(f"The mail server did not find that {sender or 'the sender'} passes DMARC.")
