"""A wire made of scripted answers: drives a conversation on paper, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from integrations.contract import Announcement, Conversation, Request, Response, SendError, Sent

Answer = Response | SendError


def answered(status: int, body: Any = None, **headers: str) -> Response:
    """An answer with a JSON body; header names may be written with underscores."""
    return Response(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        text="" if body is None else json.dumps(body),
        json=body,
    )


def converse(conversation: Conversation, answer: Callable[[Request], Answer]) -> tuple[Sent, list[Request]]:
    """Hold the conversation; a SendError among the answers is the way breaking off."""
    sent: list[Request] = []
    try:
        request = next(conversation)
        while True:
            sent.append(request)
            reply = answer(request)
            request = conversation.throw(reply) if isinstance(reply, SendError) else conversation.send(reply)
    except StopIteration as end:
        return end.value, sent
    except SendError as error:
        error.transcript = list(sent)
        raise


def in_turn(*answers: Answer) -> Callable[[Request], Answer]:
    """Those answers, one after the other."""
    left = list(answers)
    return lambda request: left.pop(0)


def by_path(answers: Sequence[tuple[str, str, Answer]]) -> Callable[[Request], Answer]:
    """The first answer whose method and end of the path match."""

    def answer(request: Request) -> Answer:
        for method, end, reply in answers:
            if request.method == method and request.url.endswith(end):
                return reply
        raise AssertionError(f"nobody expected {request.method} {request.url}")

    return answer


def told(kind: str = "opened", **facts: Any) -> Announcement:
    """Anna's credit model drifts; what Holdfast has to tell about it."""
    known: dict[str, Any] = {
        "idempotency_key": f"incident-7-{kind}-1",
        "incident_key": "INC-7",
        "title": "Score drift in credit-risk",
        "severity": 2,
        "state": "triaged",
        "text": "PSI 0.31 on 12 features since 09:40.\nTraffic moved to version 4.\n\nNext look at 11:00.",
        "system": "credit-risk",
        "version": "5",
        "incident_class": "DRIFT",
        "owner": "Anna Berg",
        "url": "https://holdfast.example.org/incidents/INC-7/",
        "source": "alertmanager",
        "at": "2026-03-04T10:12:13+00:00",
        "facts": (("Users affected", "1,204"),),
        "links": (("Dashboard", "https://grafana.example.org/d/psi"),),
        "actions": (("Approve", "https://holdfast.example.org/approvals/3/"),),
    }
    if kind in ("items", "postmortem"):
        known["items"] = ITEMS
    if kind == "postmortem":
        known["document"] = DOCUMENT
    if kind == "acknowledged":
        known["alerts"] = ({"alertname": "FeaturePSIHigh", "model": "credit-risk"},)
    if kind == "answer":  # to where the person asked
        known["channel"] = "https://hooks.slack.com/commands/T1/2/3"
    return Announcement(kind=kind, **{**known, **facts})


ITEMS = (
    {
        "key": "INC-7-A3", "title": "Watch the income feature", "owner": "ann@example.org", "due": "2026-03-20",
        "state": "open", "priority": "P1", "done_when": "PSI is checked hourly",
    },
    {
        "key": "INC-7-A4", "title": "Pin the feed's schema", "owner": "bob@example.org", "due": "2026-04-01",
        "state": "done", "priority": "P2", "done_when": "A changed column fails the run",
    },
)  # fmt: skip
DOCUMENT = """# INC-7 Score drift in credit-risk

| Post-mortem | Published |
| --- | --- |
| Severity | SEV2 |

## 1. What happened

The **income** feed changed its *unit*; see [the run](<https://ci.example.org/1>).

- Noticed by `psi`
    - after 40 minutes
- Contained by version 4

1. First
2. Second

> Nobody was told.

```
select 1 < 2 and ']]>' = "x"
```

---

## 2. Figures

![Drift](https://holdfast.example.org/evidence/3.png)
"""

HOSTILE = (
    '<script>alert("1")</script> & <!channel> <@U1> *bold* `x` "}] \\ \0 \ud800 \u202e été 漢字 🧨 ' * 400
)
