"""CloudEvents 1.0 over HTTP: binary, structured and batch, each event one signal."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.authenticity import SHARED_SECRET, require_shared
from integrations.contract import Example, Field, Inbound, Provider, Refusal, Reply, Unreadable
from integrations.normalise import first, terms, text
from integrations.paths import BadPath, Paths
from integrations.shape import Unfit, signal_of

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
#: Events of one batch; see the same bound of the JSON webhook.
MOST_EVENTS = 1000

_CORE = terms("specversion id source type subject time datacontenttype dataschema data data_base64")
#: The last word of a type says what became of the condition; the words before name the condition.
_OVER = terms("resolved recovered closed cleared ok normal passed")
_BEGUN = terms("detected firing fired triggered raised opened open started active alarm failed breached")
_SYSTEM_AND_VERSION = re.compile(r"(.+?)[:@/](v?\d[\w.\-]*)", re.I)


class CloudEvents(Provider):
    """Events say what happened in `type`, to whom in `subject`; `data` may hold our JSON shape or any other."""

    title = "CloudEvents"
    docs = "https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md"
    summary = "Events from brokers, functions and monitors that speak CloudEvents 1.0."
    inbound = True
    content_types = ("*/*",)  # in binary mode the content type is that of the data
    fields = (
        SHARED_SECRET,
        Field(
            "paths",
            "Paths",
            'Where the fields are in the event as JSON, e.g. {"title": "data.rule", "status": "data.state"}.',
            required=False,
            kind="json",
        ),
        Field("status_map", "Words for status", 'E.g. {"ALARM": "firing"}.', required=False, kind="json"),
        Field("level_map", "Words for level", 'E.g. {"sev-a": "critical"}.', required=False, kind="json"),
    )
    idempotency = (
        "An event is known by source and id; the same event again is answered with its first receipt."
    )
    limits = f"{MOST_EVENTS} events per batch; JSON format only, binary data as data_base64."
    examples = (
        Example(
            "structured",
            b'{"specversion":"1.0","type":"org.example.drift.detected","source":"/jobs/drift","subject":"churn:9",'
            b'"id":"e-1","time":"2026-02-03T04:05:06Z","tenant":"emea","data":{"feature":"tenure","psi":0.31}}',
            {"content-type": STRUCTURED},
        ),
        Example(
            "binary",
            b'{"title": "PSI of tenure is back", "severity": "warning"}',
            {
                "content-type": "application/json",
                "ce-specversion": "1.0",
                "ce-type": "org.example.drift.resolved",
                "ce-source": "/jobs/drift",
                "ce-subject": "caf%C3%A9",
                "ce-id": "e-2",
            },
        ),
        Example(
            "batch",
            b'[{"specversion":"1.0","type":"org.example.nulls","source":"/dq","id":"1","data":{"dataset":"orders"}},'
            b'{"specversion":"1.0","type":"org.example.volume","source":"/dq","id":"2","data_base64":"eyJuIjogMX0="}]',
            {"content-type": BATCH},
            alerts=2,
        ),
    )

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        try:
            Paths.declared(settings)
        except BadPath as error:
            name = str(error).split(" ", 1)[0]
            return {name if name in ("status_map", "level_map") else "paths": str(error)}
        return {}

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        """https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection"""
        origin = inbound.headers.get("webhook-request-origin")
        if inbound.method != "OPTIONS" or not origin or not origin.isprintable():
            return None
        allowed = {"Allow": "POST, OPTIONS", "WebHook-Allowed-Origin": origin}
        if "webhook-request-rate" in inbound.headers:
            allowed["WebHook-Allowed-Rate"] = text(settings.get("inbound_per_minute")) or "*"
        return Reply(headers=allowed)

    def admit(self, inbound: Inbound, settings: Mapping[str, Any]) -> int:
        require_shared(inbound, settings)
        return len(_signals(inbound, settings))

    def delivery_key(self, inbound: Inbound) -> str:
        events = _events(inbound)
        return _key(events[0]) if len(events) == 1 else super().delivery_key(inbound)

    def parse(self, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        try:
            return _signals(inbound, settings)
        except Refusal as error:
            raise Unreadable(str(error)) from error


def _events(inbound: Inbound) -> list[dict[str, Any]]:
    """The events in their JSON form, `data` decoded. Raises Refusal."""
    kind = inbound.content_type
    if "ce-specversion" in inbound.headers or "ce-id" in inbound.headers:
        return [_event(_binary(inbound), "the event")]
    if kind.startswith("application/cloudevents") and kind not in (STRUCTURED, BATCH):
        raise Refusal(f"The event format {kind} is not read here. Send {STRUCTURED} or {BATCH}.", 415)
    try:
        body = normalise.read_json(inbound.body)
    except normalise.NotJSON as error:
        if kind in (STRUCTURED, BATCH):
            raise Refusal(str(error)) from error
        raise Refusal(
            f"This is no CloudEvent: ce-* headers are missing. Send them, or send {STRUCTURED}.", 415
        ) from error
    # senders that forget the media type are common, and the form is plain to see
    if kind == BATCH or (kind != STRUCTURED and isinstance(body, list)):
        if not isinstance(body, list):
            raise Refusal(f"{BATCH} is a JSON array of events.")
        if len(body) > MOST_EVENTS:
            raise Refusal(f"{len(body)} events in one batch; send at most {MOST_EVENTS}.", 413)
        return [_event(event, f"event {position}") for position, event in enumerate(body)]
    return [_event(body, "the event")]


def _binary(inbound: Inbound) -> dict[str, Any]:
    event: dict[str, Any] = {
        name[3:]: _decoded(value) for name, value in inbound.headers.items() if name.startswith("ce-")
    }
    event["datacontenttype"] = kind = inbound.headers.get("content-type", "")
    if inbound.body:
        if _is_json(kind):
            try:
                event["data"] = normalise.read_json(inbound.body)
            except normalise.NotJSON as error:
                raise Refusal(str(error)) from error
        else:
            event["data"] = inbound.body.decode(errors="replace")
    return event


def _decoded(value: str) -> str:
    """A header value as the HTTP binding encodes it (3.1.3.2): quoted or not, UTF-8 percent-encoded."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        value = value.encode("latin-1").decode()  # senders that put UTF-8 bytes into headers as they are
    except UnicodeError:
        value = value.encode(errors="replace").decode()
    return unquote(value)


def _event(event: Any, where: str) -> dict[str, Any]:
    if not isinstance(event, Mapping):
        raise Refusal(f"{where} is not a JSON object.")
    for name in ("id", "source", "type"):
        if not isinstance(event.get(name), str) or not event[name].strip():
            raise Refusal(f'{where} lacks the attribute "{name}", which CloudEvents 1.0 requires as text.')
    if event.get("specversion") != "1.0":
        raise Refusal(
            f"{where} has specversion {text(event.get('specversion'), 20) or 'none'}; 1.0 is read here."
        )
    if event.get("time") not in (None, "") and normalise.moment(event["time"]) is None:
        raise Refusal(f'{where} has a "time" that is not a timestamp of RFC 3339.')
    read = dict(event)
    if "data_base64" in read:
        if read.get("data") is not None:
            raise Refusal(f'{where} has both "data" and "data_base64".')
        read["data"] = _from_base64(read.pop("data_base64"), text(read.get("datacontenttype")), where)
    return read


def _from_base64(value: Any, kind: str, where: str) -> Any:
    try:
        raw = base64.b64decode(text(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(f'{where} has a "data_base64" that is not base64.') from error
    if _is_json(kind or "application/json"):
        try:
            return normalise.read_json(raw)
        except normalise.NotJSON as error:
            if kind:
                raise Refusal(f"{where}: {error}") from error
    return raw.decode(errors="replace")


def _is_json(kind: str) -> bool:
    media = kind.split(";")[0].strip().lower()
    return media == "application/json" or media.endswith(("+json", "/json"))


def _key(event: Mapping[str, Any]) -> str:
    return f"{event['source']} {event['id']}"


def _signals(inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
    events = _events(inbound)
    try:
        paths = Paths.declared(settings)
        return [_signal(event, inbound, paths) for event in events]
    except BadPath as error:
        raise Refusal(str(error)) from error
    except Unfit as error:
        raise Refusal(f"An event cannot be read: {error}. Nothing of the message was taken.") from error


def _signal(event: Mapping[str, Any], inbound: Inbound, paths: Paths) -> Signal:
    data = event.get("data")
    content: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
    said = {**content, **_declared(event, paths)}
    kind, subject = text(event["type"]), text(event.get("subject"))
    stem, ending = _stem(kind)
    status = first(said, "status", "state")
    if status is None or normalise.status(status) is None:
        said["status"] = "resolved" if ending in _OVER else "firing"
        said.pop("state", None)
    system, version = _system_of(subject)
    if first(said, "system", "ai_system", "model", "model_name") is None and system:
        said["system"] = system
        said.setdefault("version", version)
    elif first(said, "model_name") is not None:
        said.setdefault("system", said["model_name"])
    labels = {
        **{name: text(value) for name, value in event.items() if name not in _CORE},
        "alertname": stem,  # where rules and intake look for what a condition is called
        "ce_type": kind,
        "ce_source": text(event["source"]),
        **({"ce_subject": subject} if subject else {}),
        **normalise.labels(content.get("labels")),
        **normalise.labels(said.get("labels")),
    }
    title = f"{kind}: {subject}" if subject else kind
    dedup_key = first(said, "dedup_key", "fingerprint") or normalise.fingerprint(
        event["source"],
        stem,
        subject,
        *(text(said.get(name)) for name in ("feature", "segment", "dataset", "metric")),
    )
    return signal_of(
        {**said, "labels": labels, "id": _key(event), "dedup_key": dedup_key},
        inbound,
        "cloudevents",
        defaults={
            "title": title,
            "description": data if isinstance(data, str) else "",
            "observed_at": event.get("time"),
        },
    )


def _declared(event: Mapping[str, Any], paths: Paths) -> dict[str, Any]:
    """What the connection's paths say about the event; data fields keep their place otherwise."""
    if not paths:
        return {}
    shaped = paths.shape({"data": event.get("data"), **event}, event)
    declared = {name for name, _ in paths.fields if not name.startswith("labels.")}
    data = event.get("data")
    told = {name: shaped[name] for name in declared}
    if isinstance(shaped.get("labels"), Mapping):
        told["labels"] = shaped["labels"]
    if isinstance(data, Mapping):
        for name, words in (("status", paths.status_map), ("severity", paths.level_map)):
            word = text(told.get(name, data.get(name))).lower()
            if word in words:
                told[name] = words[word]
    return told


def _stem(kind: str) -> tuple[str, str]:
    """(the condition, what became of it): `org.drift.resolved` → (`org.drift`, `resolved`)."""
    stem, _, ending = kind.rpartition(".")
    if stem and ending.lower() in _OVER | _BEGUN:
        return stem, ending.lower()
    return kind, ""


def _system_of(subject: str) -> tuple[str, str]:
    """`churn:9` names system and version; a bare number names neither."""
    if subject.isdecimal():
        return "", ""
    parts = _SYSTEM_AND_VERSION.fullmatch(subject)
    return (parts[1], parts[2]) if parts else (subject, "")
