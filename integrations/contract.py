"""The provider contract: what a file in `integrations/providers/` declares, reads and writes.

A provider translates and never travels: `parse` turns one stored request into signals, `compose`
yields the HTTP requests that bring one announcement to the vendor and receives the responses.
`integrations.http` is the only module that opens a socket.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from incidents.intake.signal import Signal


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of a connection: drives the form, the `connect` command, and masking."""

    name: str
    title: str
    help: str = ""
    secret: bool = False
    required: bool = True
    kind: Literal["text", "url", "number", "choice", "json", "bool"] = "text"
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inbound:
    """One request as it was received. Header names are lower-case; `body` is the raw bytes."""

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    origin: str = ""
    inbox_id: int | None = None
    method: str = "POST"
    query: str = ""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class Refusal(Exception):
    """The request is not accepted; the message says what to do. `status` is the HTTP answer."""

    def __init__(self, message: str, status: int = 422):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """The immediate answer to a vendor's handshake (a challenge, an address check); nothing is stored.

    `confirm` is sent first, for vendors that want an address of theirs visited; the provider makes sure that it
    is the vendor's. When it fails, 503 is answered instead, and the vendor asks again.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    confirm: Request | None = None


class Unreadable(Exception):
    """A stored message cannot be translated: it is set aside with this reason, replayable."""


#: What a person (or their tool) may ask of an incident from outside.
Verb = Literal[
    "acknowledge", "assign", "state", "priority", "comment", "approve", "reject", "declare", "list"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instruction:
    """What somebody did in an outside tool, asked of the incident here: `parse` yields it beside signals.

    The incident is named by `incident_key` (INC-7) where the tool carries it, else by `remote_id`, looked up
    among the links of this connection. `by` is an e-mail address or, failing that, `by_id` the vendor's id of
    the person; somebody unknown is refused politely, on the timeline. `delivery_key` makes it happen once.
    """

    verb: Verb
    delivery_key: str
    incident_key: str = ""
    remote_id: str = ""
    by: str = ""
    by_id: str = ""
    by_name: str = ""
    value: str = ""  #: new state, priority (1 to 5), e-mail of the new owner, id of the approval
    text: str = ""  #: the comment, or why
    at: datetime | None = None
    url: str = ""  #: where it was done
    answer_to: str = ""  #: where the person is answered (a response_url), if the tool has such a place
    remote_state: str = ""  #: `open` or `closed`: how the ticket stands there now, where the act says so
    remote_part: str = ""  #: the vendor's id of the comment: one that we wrote ourselves is an echo


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was changed on purpose (deploy, registry move, configuration, prompt): `parse` yields it
    beside signals. Kept for "what changed before"; `key` makes it one row per connection."""

    key: str
    kind: Literal["deploy", "registry", "config", "prompt", "data", "pipeline", "other"]
    title: str
    at: datetime
    system: str = ""  #: how the source names the AI system
    version: str = ""
    by: str = ""
    url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


#: What one stored message says.
Said = Signal | Instruction | Change


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request on its way out. Secrets sit in `headers`/`json` as plain values and are
    masked by the transport wherever they are shown (`secrets` lists them)."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. `json` is None when the body is not JSON."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any = None
    elapsed: float = 0.0


class SendError(Exception):
    """The vendor or the way to it failed. `retryable` decides; `retry_after` in seconds."""

    def __init__(self, message: str, *, retryable: bool, retry_after: float | None = None):
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        #: masked exchanges until the failure, set by `integrations.http.run`
        self.transcript: list[Any] = []


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a provider is asked to tell: facts only, the provider chooses the form.

    `kind` is one of `opened`, `updated`, `acknowledged`, `escalated`, `mitigated`, `resolved`,
    `closed`, `reopened`, `approval`, `notice`, `comment` (somebody wrote a note to share), `items` (action
    items changed), `postmortem` (a version to publish), `answer` (to a person who asked something there, at
    `channel`), `test`. `idempotency_key` is stable across retries
    and restarts; `incident_key` (e.g. `INC-7`) is the vendor-side dedup key of the incident.
    """

    kind: str
    idempotency_key: str
    incident_key: str
    title: str
    severity: int  #: 1 (worst) to 5
    state: str
    text: str = ""  #: what is happening / what is asked, Markdown-free plain text
    system: str = ""
    version: str = ""
    incident_class: str = ""
    owner: str = ""
    url: str = ""  #: link back
    source: str = ""
    at: str = ""  #: ISO 8601
    facts: tuple[tuple[str, str], ...] = ()  #: further (name, value) lines
    links: tuple[tuple[str, str], ...] = ()
    actions: tuple[tuple[str, str], ...] = ()  #: (text, url) buttons
    channel: str = (
        ""  #: where at the vendor, when the route says so (channel, project, page); else the settings
    )
    document: str = ""  #: the post-mortem as Markdown, for kind `postmortem`
    #: action items, for kinds that carry them: key, title, owner, due (ISO date), state
    items: tuple[Mapping[str, str], ...] = ()
    approval: str = ""  #: id of the approval that kind `approval` asks for
    owner_email: str = ""  #: by which tools that assign find the owner
    #: `text` was written for this very place, by a route's template or a playbook's step
    worded: bool = False
    #: kind `acknowledged`: the labels of the firing alerts that came in by this very connection
    alerts: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """The vendor accepted. `remote_id`/`url`/`data` are kept on the link row for later calls.

    `part` is the vendor's id of what this one announcement became, where that is not the whole (a comment, a
    note, a reply): when it comes back in, it is known as our own.
    """

    remote_id: str = ""
    url: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    part: str = ""


#: A conversation: yields requests, is sent the responses, returns Sent; raises SendError.
Conversation = Generator[Request, Response, Sent]


@dataclass(frozen=True, slots=True)
class Fetched:
    """One message that polling found, stored in the inbox as if it had been sent. `key` is its delivery key."""

    body: bytes
    key: str
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    items: int = 1


@dataclass(frozen=True, slots=True)
class Polled:
    """What one round of polling found, and what the next round needs to know (`memory`, JSON values).

    Messages and memory are kept in one commit: a round that is repeated finds the same delivery keys.
    """

    messages: Sequence[Fetched] = ()
    memory: Mapping[str, Any] = field(default_factory=dict)


#: One round of polling: yields requests, is sent the responses, returns Polled; raises SendError.
Polling = Generator[Request, Response, Polled]


@dataclass(frozen=True, slots=True)
class Example:
    """A payload of our own making, from the vendor's documentation, that must parse."""

    name: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    alerts: int = 1  #: how many signals it becomes
    others: int = 0  #: how many instructions and changes it becomes
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnDuty:
    """Somebody whom a paging tool would page now: `level` 1 is paged first, `of` names the schedule or policy,
    `until` (ISO 8601) when the shift ends, "" where the tool does not say."""

    name: str
    email: str = ""
    level: int = 1
    of: str = ""
    until: str = ""


#: Asks a paging tool who is on duty.
DutyCall = Generator[Request, Response, list[OnDuty]]


class Provider:
    """Base of every provider. The file name is the slug; one subclass per file, named `Provider_`
    free: the shelf takes the single subclass it finds."""

    do_not_call_in_templates: ClassVar[bool] = True

    slug: ClassVar[str] = ""  #: set by the shelf from the file name
    title: ClassVar[str]
    docs: ClassVar[str] = ""  #: link to the vendor's documentation
    summary: ClassVar[str] = ""
    fields: ClassVar[Sequence[Field]] = ()
    inbound: ClassVar[bool] = False
    outbound: ClassVar[bool] = False
    acting: ClassVar[bool] = False  #: actions of playbooks work with it; nobody is told anything
    content_types: ClassVar[Sequence[str]] = ("application/json",)
    examples: ClassVar[Sequence[Example]] = ()
    idempotency: ClassVar[str] = ""  #: how effects stay single at this vendor, in one sentence
    limits: ClassVar[str] = ""  #: vendor limits with their source
    #: announcement kinds this provider can carry; others are not queued for it
    carries: ClassVar[frozenset[str]] = frozenset()
    rate: ClassVar[tuple[int, float] | None] = None  #: (requests, seconds) per connection and channel
    #: under a backlog, news of several incidents may go out as one message
    digests: ClassVar[bool] = False
    #: the answer to a sender over its own quota; 503 for senders that give up on 429
    quota_status: ClassVar[int] = 429
    #: the answer to a stored message for senders that take no 202; None: 202 with the receipt
    accepted: ClassVar[Reply | None] = None
    #: seconds between two rounds of `poll`; None: this provider is not polled
    polls_every: ClassVar[float | None] = None
    #: the secrets by any of which the vendor proves each message; without one of them entered a message is taken as
    #: information by its address alone, and nothing that a person asks in it is done (`authenticity.unproven`)
    proved_by: ClassVar[Sequence[str]] = ()
    #: a paging tool that can be asked who is on duty
    knows_duty: ClassVar[bool] = False
    #: fields of the incident that the outside tool owns once it is linked: state, owner, priority
    owns: ClassVar[frozenset[str]] = frozenset()

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with settings beyond their kind, by field name; empty when they can be used."""
        return {}

    # --- inbound -------------------------------------------------------------------------------
    def admit(self, inbound: Inbound, settings: Mapping[str, Any]) -> int:
        """Cheap check before the message is stored: authenticity and envelope.

        Returns the number of items the message carries; raises Refusal (400/401/415/422).
        """
        raise Refusal(f"{self.title} does not receive messages; check the address.", 404)

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        """The answer to a vendor's check of the address, or None.

        Asked for GET, HEAD and OPTIONS requests, and for a POST that `admit` counted as 0 items.
        """
        return None

    def delivery_key(self, inbound: Inbound) -> str:
        """The vendor's id of this very delivery, for deduplication of retries; empty if none."""
        return inbound.headers.get("idempotency-key", "")

    def parse(self, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        """Translate one stored message. Raises Unreadable when it cannot be understood."""
        raise Unreadable(f"{self.title} has no inbound form.")

    def poll(self, settings: Mapping[str, Any], memory: Mapping[str, Any], now: datetime) -> Polling:
        """Ask the vendor what is new since `memory` (empty at first). Raises SendError."""
        raise SendError(f"{self.title} is not polled.", retryable=False)
        yield  # pragma: no cover - makes this a generator

    def on_duty(self, settings: Mapping[str, Any]) -> DutyCall | None:
        """Ask who is on duty now; None where the settings do not allow it. Raises SendError."""
        return None

    # --- outbound ------------------------------------------------------------------------------
    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        """Whether a connection with these settings is told of that kind: what it carries, and is set up for."""
        return kind in self.carries

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Bring one announcement to the vendor. `link` is what earlier calls for the same incident
        left (`remote_id`, `url`, and `data` merged), or None. Raises SendError."""
        raise SendError(f"{self.title} does not send.", retryable=False)
        yield  # pragma: no cover - makes this a generator

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """Values that must never be shown."""
        return [str(settings[f.name]) for f in self.fields if f.secret and settings.get(f.name)]
