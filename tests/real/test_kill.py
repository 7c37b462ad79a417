"""Everything is killed, in a loop, under load: nothing accepted is missing, no run sticks, no effect has two keys."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.real.installations import Installation, Outside, embedded, outside, production
from tests.services import wait_until

SYSTEMS = 40
CHAOS_SECONDS = 25
PLAYBOOK = """
playbook: kt-contain
title: Contain under fire
summary: Changes the gateway and reads it back, while its workers are killed.
applies_to: {classes: [PERF]}
trigger: {on: [incident.opened], mode: auto}
steps:
  - {id: KT-01, kind: auto, title: Keep the state, action: snapshot_evidence}
  - id: KT-02
    kind: auto
    title: Serve the fallback
    action: http_call
    with: {url: "/systems/{{ system.slug }}/traffic", body: {mode: fallback}, expect: {mode: fallback}}
    retry: {count: 5, backoff: 1s}
    mark: contained
  - {id: KT-03, kind: wait, title: Breathe, for: 1s}
  - id: KT-04
    kind: gate
    title: Contained
    checks: [{when: 'incident.contained', title: The harm stopped growing}]
    mark: verified
"""

SEED = """
from incidents.models import AISystem
from integrations.models import Connection, Route
from playbooks.publishing import apply_text
account = Connection.objects.create(provider="pagerduty", name="Pager", settings={{"routing_key": "R" * 32, "base_url": {url!r}}})
Route.objects.create(name="Pages", connection=account, kinds=["opened"])
Connection.objects.create(provider="gateway", name="Gateway", settings={{"base_url": {url!r}, "token": ""}})
urgent = {{"impact": {{"OP": 4}}, "urgency": {{"harm": 2, "velocity": 2, "reversibility": 1, "workaround": 1}}}}
for n in range({systems}):
    AISystem.objects.create(slug=f"s{{n}}", name=f"System {{n}}", serving={{"connection": "Gateway"}}, baseline_assessment=urgent)
from playbooks.models import Playbook
Playbook.objects.update(active=False)  # those shipped for the class would ask people
apply_text({playbook!r}, publish=True)
"""

COUNT = """
import json
from collections import Counter
from incidents.models import Alert, Event, Incident
from integrations.models import Delivery, InboxMessage
from playbooks.models import Run
print(json.dumps({
    "alerts": list(Alert.objects.values_list("fingerprint", flat=True)),
    "inbox": dict(Counter(InboxMessage.objects.values_list("status", flat=True))),
    "errors": list(InboxMessage.objects.exclude(error="").values_list("error", flat=True)[:3]),
    "runs": dict(Counter(Run.objects.values_list("state", flat=True))),
    "reasons": list(Run.objects.exclude(reason="").values_list("state", "reason", "lease_until", "wake_at")[:5]),
    "deliveries": dict(Counter(Delivery.objects.values_list("state", flat=True))),
    "incidents": Incident.objects.count(),
    "contained": Incident.objects.exclude(contained_at=None).count(),
    "unpublished": Event.objects.filter(published_at=None).count(),
}, default=str))
"""


class Load(threading.Thread):
    """Posts alerts until told to stop, of every system at least one; what was not accepted is posted again, elsewhere."""

    def __init__(self, addresses: list[str], number: int) -> None:
        super().__init__(daemon=True)
        self.addresses, self.number = addresses, number
        self.accepted: set[str] = set()
        self.refused: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        session, sent = requests.Session(), 0
        while sent < SYSTEMS or not self.stopping.is_set():
            sent += 1
            key = f"load-{self.number}-{sent}"
            body = {
                "title": "Latency", "severity": "critical", "status": "firing", "dedup_key": key,
                "labels": {"family": "PERF", "system": f"s{sent % SYSTEMS}"}, "model": {"name": f"s{sent % SYSTEMS}"},
            }  # fmt: skip
            for attempt in range(2_000):  # an installation may take a minute to be back
                try:
                    answer = session.post(
                        self.addresses[(sent + attempt) % len(self.addresses)], json=body, timeout=5,
                        headers={"Idempotency-Key": key},
                    )  # fmt: skip
                except requests.RequestException:
                    session = requests.Session()
                    time.sleep(0.05)
                    continue
                if answer.status_code == 202:
                    self.accepted.add(key)
                    break
                if answer.status_code < 500:
                    self.refused.append(f"{answer.status_code} {answer.text[:200]}")
                    break
                time.sleep(0.05)
            time.sleep(0.004)


def connected(home: Installation, world: Outside) -> list[str]:
    home.python(SEED.format(url=world.url, systems=SYSTEMS, playbook=PLAYBOOK))
    made = json.loads(home.manage("connect", "generic", "load", "--json"))
    path = "/" + made["url"].split("/", 3)[3]
    return [web.url + path for web in home.webs]


def settled(home: Installation, expected: set[str]) -> dict:
    """The counts when nothing is left to do, or when time is up."""
    found: dict = {}

    def quiet() -> bool:
        found.update(json.loads(home.python(COUNT).splitlines()[-1]))
        live = {"queued", "running", "waiting", "asking", "paused"} & set(found["runs"])
        busy = {"queued", "sending"} & set(found["deliveries"])
        return not (live or busy or found["inbox"].get("new") or found["unpublished"]) and expected <= set(
            found["alerts"]
        )

    try:
        wait_until(quiet, 150, "all work to end", interval=2)
    except AssertionError:
        print("not settled:", {k: v for k, v in found.items() if k != "alerts"})
    return found


def judge(home: Installation, world: Outside, loads: list[Load]) -> None:
    accepted = set().union(*(load.accepted for load in loads))
    found = settled(home, accepted)
    missing = accepted - set(found["alerts"])
    stuck = {state: n for state, n in found["runs"].items() if state != "succeeded"}
    print(
        f"accepted {len(accepted)}, missing {len(missing)}, incidents {found['incidents']}, runs {found['runs']}, "
        f"deliveries {found['deliveries']}, inbox {found['inbox']}, "
        f"pages at most {max(world.pages.values(), default=0)}x, changes at most {max(world.changes.values(), default=0)}x"
    )
    assert len(accepted) >= 50, "too little load to prove anything"
    assert not missing
    assert not any(load.refused for load in loads)
    assert found["incidents"] == SYSTEMS
    assert not stuck, found["reasons"]
    assert found["runs"]["succeeded"] == SYSTEMS
    assert found["contained"] == SYSTEMS
    assert set(found["deliveries"]) == {"delivered"}
    assert set(found["inbox"]) == {"done"}, found["errors"]
    assert max(world.pages.values()) <= 2
    assert len({key for key, _ in world.pages}) == SYSTEMS
    assert max(world.changes.values()) <= 2
    assert all(len(world.keys_of(path)) == 1 for path, _ in world.changes)
    assert len({path for path, _ in world.changes}) == SYSTEMS


@pytest.mark.timeout(420)
def test_production_survives_kill_9_flushed_broker_and_restarted_database(tmp_path: Path) -> None:
    chance = random.Random(7)
    with outside() as world, production(tmp_path) as home:
        addresses = connected(home, world)
        loads = [Load(addresses, n) for n in range(3)]
        for load in loads:
            load.start()
        killed: list[str] = []
        until = time.monotonic() + CHAOS_SECONDS
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.8, 1.8))
            match chance.choice(("web", "web process", "worker", "flush", "database")):
                case "web":
                    at = chance.randrange(len(home.webs))
                    port = home.webs[at].port
                    home.webs[at].kill()
                    home.webs[at] = home.start_web(port)
                    killed.append("web")
                case "web process":
                    web = chance.choice(home.webs)
                    for pid in [pid for pid in web.pids() if pid != web.pid][-1:]:
                        os.kill(pid, signal.SIGKILL)
                    killed.append("web process")
                case "worker":
                    at = chance.randrange(len(home.workers))
                    home.workers[at].kill()
                    home.workers[at] = home.start_worker()
                    killed.append("worker")
                case "flush":
                    home.redis.flushall()
                    killed.append("broker flushed")
                case "database":
                    home.postgres.immediate_restart()
                    killed.append("database")
        for load in loads:
            load.stopping.set()
        for load in loads:
            load.join(60)
        print(
            f"{len(killed)} blows: {', '.join(f'{what} {killed.count(what)}x' for what in sorted(set(killed)))}"
        )
        judge(home, world, loads)


@pytest.mark.timeout(300)
def test_the_embedded_default_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(11)
    with outside() as world, embedded(tmp_path) as home:
        addresses = connected(home, world)
        loads = [Load(addresses, n) for n in range(2)]
        for load in loads:
            load.start()
        for _ in range(6):
            time.sleep(chance.uniform(1.5, 3))
            web = home.webs[0]
            if chance.random() < 0.5:
                port = web.port
                web.kill()
                home.webs[0] = home.start_web(port)
                home.webs[0].wait_ready()
            else:
                for pid in [pid for pid in web.pids() if pid != web.pid][-1:]:
                    os.kill(pid, signal.SIGKILL)
        for load in loads:
            load.stopping.set()
        for load in loads:
            load.join(60)
        try:
            judge(home, world, loads)
        finally:
            if home.webs[0].running:
                home.webs[0].kill()
