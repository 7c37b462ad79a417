"""How stories act: alerts come in through the front door, work is done to its end, people answer what they are asked."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.utils import timezone

from config.demo.clock import Clock
from config.demo.connections import Doors
from config.wiring import LISTENERS
from incidents import outbox
from incidents.models import AISystem, Incident, Task, User
from integrations.inbox import drain
from integrations.inbox.receive import predispatch
from integrations.models import Pace
from integrations.outbox import deliver
from playbooks import approvals, engine
from playbooks.models import Approval, Run

#: More rounds than any story needs; reaching it means that work makes work for ever.
MOST_ROUNDS = 300


class Stage:
    """Everything a story needs, and the verbs it is told with."""

    def __init__(
        self,
        clock: Clock,
        people: dict[str, User],
        systems: dict[str, AISystem],
        doors: Doors,
        datasets: Path,
    ) -> None:
        self.clock, self.people, self.systems, self.doors, self.datasets = (
            clock,
            people,
            systems,
            doors,
            datasets,
        )
        self._door = predispatch(_nothing)
        #: fingerprint → when the alert began, and how far behind the clock was
        self._began: dict[str, tuple[datetime, timedelta]] = {}

    def post(self, path: str, body: Any, content_type: str = "application/json") -> None:
        """Send one message through the inbound path, as a monitor would. Raises RuntimeError when it is refused."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        told: list[str] = []
        answer = self._door(
            {
                "REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": "", "CONTENT_TYPE": content_type,
                "CONTENT_LENGTH": str(len(raw)), "wsgi.input": io.BytesIO(raw), "REMOTE_ADDR": "127.0.0.1",
                "HTTP_USER_AGENT": "holdfast-demo",
            },
            lambda status, headers: told.append(status),
        )  # fmt: skip
        content = b"".join(answer)
        if not told[0].startswith(str(HTTPStatus.ACCEPTED.value)):
            raise RuntimeError(f"The demo's message was not accepted: {told[0]} {content.decode()}")

    def prometheus(self, *alerts: Mapping[str, Any], resolved: bool = False) -> None:
        """Alerts as Alertmanager sends them; each gives labels, and `summary`, `value`, `n` for the annotations."""
        self.post(
            self.doors.alertmanager,
            {
                "version": "4", "groupKey": "{}:{}", "receiver": "holdfast", "externalURL": "http://alertmanager.example.org",
                "status": "resolved" if resolved else "firing", "truncatedAlerts": 0, "commonLabels": {}, "groupLabels": {},
                "commonAnnotations": {}, "alerts": [self._prometheus_alert(a, resolved) for a in alerts],
            },
        )  # fmt: skip

    def monitor(self, **alert: Any) -> None:
        """One alert in our own JSON shape."""
        self.post(self.doors.generic, alert)

    def event(self, type: str, source: str, subject: str, data: Mapping[str, Any]) -> None:
        """One CloudEvent in structured mode."""
        now = timezone.now()
        told = {
            "specversion": "1.0", "id": f"{type}-{now.timestamp():.6f}", "type": type, "source": source, "subject": subject,
            "time": _iso(now), "datacontenttype": "application/json", "data": dict(data),
        }  # fmt: skip
        self.post(self.doors.cloudevents, told, "application/cloudevents+json")

    def settle(self) -> None:
        """Do all work that is due, as workers would: inbox, events, runs, deliveries, until nothing is left."""
        for _ in range(MOST_ROUNDS):
            worked = drain.drain() + outbox.relay(LISTENERS)
            now = timezone.now()
            due = Run.objects.filter(state__in=("queued", "running", "waiting", "asking"), wake_at__lte=now)
            for pk in list(due.values_list("pk", flat=True)):
                engine.advance(pk)
                worked += 1
            for pk in list(deliver.due().values_list("pk", flat=True)):
                deliver.deliver(pk)
                Pace.objects.all().delete()  # a story's days pass here in seconds
                worked += 1
            if not worked:
                return
        raise RuntimeError("The demo's work does not come to an end.")

    def incident(self, system: str, incident_class: str) -> Incident:
        """The newest incident of that system and class."""
        return Incident.objects.filter(system__slug=system, incident_class=incident_class).latest("pk")

    def fresh(self, incident: Incident) -> Incident:
        """The incident as it is in the database now: time has passed since it was read."""
        return Incident.objects.get(pk=incident.pk)

    def remedied(self, incident: Incident, title: str) -> None:
        """A remediation task that is done."""
        task = Task.objects.create(
            incident=incident, kind="remediation", title=title, assignee=self.people["sre"]
        )
        task.complete(by=self.people["ann"])

    def pending(self, incident: Incident) -> Approval | None:
        """What the incident's runs ask a person now."""
        return Approval.objects.filter(incident=incident, decision="pending").select_related("step").first()

    def approve(self, incident: Incident, step: str, *usernames: str, reason: str = "") -> None:
        """These people say yes to the step that is asked for; then work goes on."""
        asked = self._asked(incident, step)
        for name in usernames:
            approvals.decide(asked, self.people[name], True, reason)
            asked.refresh_from_db()
        self.settle()

    def answer(self, incident: Incident, step: str, username: str, **form: Any) -> None:
        """The person fills the form of the step; then work goes on."""
        approvals.answer(self._asked(incident, step), self.people[username], form)
        self.settle()

    def wait_for_runs(self, incident: Incident, most: timedelta) -> None:
        """Let time pass until the incident's runs no longer wait for it; at most `most`."""
        until = timezone.now() + most
        for _ in range(MOST_ROUNDS):
            waiting = Run.objects.filter(incident=incident, state="waiting").exclude(wake_at=None)
            wake_at = waiting.order_by("wake_at").values_list("wake_at", flat=True).first()
            now = timezone.now()
            if wake_at is None or wake_at > until:
                return
            span = max(wake_at - now, timedelta(0)) + timedelta(seconds=1)
            self.clock.pass_time(span)
            until -= span
            self.settle()

    def _asked(self, incident: Incident, step: str) -> Approval:
        asked = self.pending(incident)
        if asked is None or asked.step.key != step:
            states = [f"{r} {r.state} {r.reason}" for r in Run.objects.filter(incident=incident)]
            raise RuntimeError(
                f"The demo expected {incident.key} to ask about {step}, not {asked and asked.step.key}: {states}"
            )
        return asked

    def _prometheus_alert(self, alert: Mapping[str, Any], resolved: bool) -> dict[str, Any]:
        notes = {
            name: str(alert[name])
            for name in ("summary", "description", "value", "threshold")
            if name in alert
        }
        if "n" in alert:
            notes["sample_size"] = str(alert["n"])
        labels = {
            k: str(v)
            for k, v in alert.items()
            if k not in ("summary", "description", "value", "threshold", "n", "ago")
        }
        digest = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()
        now = timezone.now()
        begun, behind = self._began.setdefault(
            digest, (now - timedelta(minutes=float(alert.get("ago", 5))), self.clock.behind)
        )
        return {
            "status": "resolved" if resolved else "firing", "labels": labels, "annotations": notes,
            "startsAt": _iso(begun - (behind - self.clock.behind)),
            "endsAt": _iso(now) if resolved else "0001-01-01T00:00:00Z",
            "generatorURL": f"http://prometheus.example.org/graph?g0.expr={labels.get('metric', 'alert')}",
            "fingerprint": digest[:16],
        }  # fmt: skip


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _nothing(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("404 Not Found", [])
    return []
