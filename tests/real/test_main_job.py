"""The main job on real parts: Prometheus and Alertmanager notice a drifting model, people and a playbook end it.

Everything between is what an operator runs: separate processes, the command line, the REST API. The vendors
are mock servers made from the vendors' own specifications.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from pypdf import PdfReader

from tests.integrations.prism import prism
from tests.playbooks import scene_data
from tests.real.installations import Installation, Outside, embedded, outside, production
from tests.services import Alertmanager, Prometheus, wait_until

SEED = """
from datetime import timedelta
from django.utils import timezone
from incidents.models import AISystem, Deployment, ModelVersion
from integrations.models import Connection, Route
from playbooks.library import install
install()
vendors = {{
    "Chat": ("slack", {{"bot_token": "xoxb-test", "channel": "C024BE91L", "base_url": {slack!r} + "/api/"}}),
    "Pager": ("pagerduty", {{"routing_key": "R" * 32, "base_url": {pagerduty!r}}}),
    "Tickets": ("jira", {{"site": {jira!r}, "email": "bot@example.com", "api_token": "t", "project": "ML", "issue_type": "Task"}}),
}}
for name, (provider, settings) in vendors.items():
    Route.objects.create(name=name, connection=Connection.objects.create(provider=provider, name=name, settings=settings))
Connection.objects.create(provider="gateway", name="Gateway", settings={{"base_url": {gateway!r}, "token": ""}})
shop = AISystem.objects.create(
    slug="recs-home", name="Home recommendations", matchers='model="recs-home"', risk_tier="minimal", decision_type="low_stakes",
    serving={{"connection": "Gateway", "fallback_version": "rules-1"}},
    data={{"reference": "reference.csv", "current": "current.csv", "prediction_column": "score", "kpi_column": "clicked",
          "key_columns": ["session"], "verification_minutes": 0}},
    baseline_assessment={{"impact": {{"SA": 1, "RI": 1, "OP": 2, "FI": 3, "SC": 3, "RG": 1, "RP": 2}},
                         "urgency": {{"harm": 2, "velocity": 1, "reversibility": 0, "workaround": 1}}}},
)
version = ModelVersion.objects.create(system=shop, version="3.14", approved=True)
Deployment.objects.create(system=shop, version=version, endpoint="/recs-home", started_at=timezone.now() - timedelta(days=30))
"""

RULES = """
groups:
  - name: drift
    rules:
      - alert: FeaturePsiHigh
        expr: feature_psi > 0.25
        labels: {severity: critical, metric: psi}
        annotations:
          summary: "PSI of {{ $labels.feature }} on {{ $labels.model }} is {{ $value }}"
"""


@contextmanager
def exporter() -> Iterator[tuple[int, Callable[[float], None]]]:
    """A gauge to scrape; the function sets it."""
    value = [0.05]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = f'# TYPE feature_psi gauge\nfeature_psi{{model="recs-home",feature="price_band"}} {value[0]}\n'
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def put(new: float) -> None:
        value[0] = new

    try:
        yield server.server_address[1], put
    finally:
        server.shutdown()
        server.server_close()


class Person:
    """Somebody with a token, who uses the REST API."""

    def __init__(self, home: Installation, name: str, role: str) -> None:
        self.home, self.name = home, name
        made = json.loads(home.manage("token", name, "--create", role, "--json"))
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {made['token']}"

    def call(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        answer = self.session.request(method, f"{self.home.webs[0].url}/api/v1/{path}", json=body, timeout=30)
        assert answer.status_code == expect, (path, answer.status_code, answer.text[:2000])
        return answer.json() if "json" in answer.headers["Content-Type"] else answer.content

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, expect: int = 200) -> Any:
        return self.call("POST", path, body or {}, expect)


def data(home: Installation, name: str, **shape: Any) -> None:
    folder = home.data / "datasets"
    folder.mkdir(exist_ok=True)
    scene_data.shop(**shape).to_csv(folder / f"{name}.csv", index=False)


def watched(stack: ExitStack, home: Installation) -> Callable[[float], None]:
    """Prometheus scraping the gauge and Alertmanager posting to the installation; sets the gauge."""
    port, put = stack.enter_context(exporter())
    inbound = json.loads(home.manage("connect", "alertmanager", "am", "--json"))["url"]
    address = f"{home.webs[-1].url}/{inbound.split('/', 3)[3]}"
    alertmanager = stack.enter_context(
        Alertmanager(
            f"""
route: {{receiver: holdfast, group_wait: 1s, group_interval: 2s, repeat_interval: 1h}}
receivers:
  - name: holdfast
    webhook_configs: [{{url: {address!r}, send_resolved: true}}]
"""
        )
    )
    stack.enter_context(
        Prometheus(
            f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager.port}']}}]}}]}}
scrape_configs: [{{job_name: models, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]
""",
            {"rules.yml": RULES},
        )
    )
    return put


def the_main_job(home: Installation, world: Outside, put: Callable[[float], None]) -> None:
    ann, bob, mo = Person(home, "ann", "IC"), Person(home, "bob", "BO"), Person(home, "mo", "MO")
    began = time.monotonic()

    def until(what: str, look: Callable[[], Any], seconds: float = 60) -> Any:
        found = wait_until(look, seconds, what, interval=0.5)
        print(f"{time.monotonic() - began:6.1f} s  {what}")
        return found

    # --- noticed ---
    put(0.41)
    incident = until(
        "an incident is open", lambda: (ann.get("incidents/?state=open")["results"] or [None])[0]
    )
    key = incident["id"]
    assert (incident["incident_class"], incident["severity"], incident["system"]) == ("DRIFT", 3, "recs-home")
    ann.post(f"incidents/{key}/acknowledgement/")
    triage = {
        "to": "triaged",
        "assessment": {
            "impact": {"SA": 1, "RI": 1, "OP": 2, "FI": 3, "SC": 3, "RG": 1, "RP": 2},
            "urgency": {"harm": 2, "velocity": 1, "reversibility": 0, "workaround": 1},
        },
    }
    assert ann.post(f"incidents/{key}/transitions/", triage)["severity"] == 3
    refused = ann.post(f"incidents/{key}/transitions/", {"to": "mitigated"}, expect=409)
    assert any("proof" in reason for reason in refused["reasons"])

    # --- diagnosed, asked, approved, contained ---
    def question(step: str) -> Any:
        rows = ann.get("approvals/?decision=pending")["results"]
        return next((row for row in rows if row["step"] == step), None)

    run = until("a run of pb-drift", lambda: (ann.get(f"runs/?incident={key}")["results"] or [None])[0])["id"]
    asked = until("the containment is asked for", lambda: question("DR-10"))
    assert world.traffic == {}, "nothing was changed before the approval"
    steps = {s["key"]: s for s in ann.get(f"runs/{run}/")["steps"]}
    assert steps["DR-03"]["verdict"] == "confirmed"
    assert steps["DR-03"]["outputs"]["max_psi"] > 0.25
    for person in (ann, bob):
        shown = person.get(f"approvals/{asked['id']}/")
        assert shown["inputs"]["body"]["version"] == "rules-1"
        person.post(f"approvals/{asked['id']}/decision/", {"yes": True, "input_hash": shown["input_hash"]})
    until("contained", lambda: ann.get(f"incidents/{key}/")["contained_at"])
    assert world.traffic["/systems/recs-home/traffic"] == {"version": "rules-1", "mode": "fallback"}
    evidence = ann.get(f"incidents/{key}/evidence/")
    assert {"before.json", "manifest.json"} <= {e["name"] for e in evidence}
    assert any(e["media_type"] == "image/svg+xml" for e in evidence)

    # --- verified on fresh data, resolved by the monitor ---
    data(home, "current", seed=3, clicks=0.20)
    put(0.04)

    def at(step: str) -> Any:
        rows = ann.get(f"runs/{run}/")["steps"]
        return next((s for s in rows if s["key"] == step and s["state"] == "waiting"), None)

    pause = until("the run waits for the change to take effect", lambda: at("DR-13"))
    mo.post(f"runs/{run}/steps/{pause['id']}/skip/", {"reason": "No cache stands before this gateway."})
    until("verified", lambda: ann.get(f"incidents/{key}/")["verification"].get("passed"), 90)
    form = until("the form about retraining", lambda: question("DR-11"))
    mo.post(f"approvals/{form['id']}/answer/", {"answer": {"plan": "not_needed"}})
    until("the run succeeded", lambda: ann.get(f"runs/{run}/")["state"] == "succeeded")
    until("the monitor says it is over", lambda: ann.get(f"incidents/{key}/")["recovered_at"])
    ann.post(
        f"incidents/{key}/transitions/", {"to": "mitigated", "serious_incident": "no", "personal_data": "no"}
    )

    # --- told ---
    def told() -> Any:
        rows = ann.get("deliveries/?limit=200")["results"]
        return rows if rows and all(row["state"] == "delivered" for row in rows) else None

    deliveries = until("everything is delivered", told, 90)
    names = {row["id"]: row["name"] for row in Person(home, "ada", "ADM").get("connections/")["results"]}
    told_each = Counter(names[row["connection"]] for row in deliveries)
    assert set(told_each) == {"Chat", "Pager", "Tickets"}
    assert min(told_each.values()) >= 2, told_each

    # --- learnt ---
    alert = ann.get(f"alerts/?incident={key}")["results"][0]
    assert alert["status"] == "resolved"
    assert ann.get(f"alerts/{alert['id']}/why/")["rule"]["name"]
    pdf = ann.get(f"incidents/{key}/postmortem/?format=pdf")
    text = " ".join("".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split())
    assert key in text
    line = ann.get(f"incidents/{key}/timeline/?limit=200")["results"]
    for kind in ("incident.opened", "incident.acknowledged", "incident.contained", "incident.mitigated"):
        said = " ".join(next(e["text"] for e in line if e["kind"] == kind).split())
        assert said[:60] in text, said
    print(
        f"PDF of {len(pdf)} bytes, {len(line)} timeline entries, {len(evidence)} pieces of evidence, {len(deliveries)} deliveries"
    )


MODES: dict[str, Callable[[Path], Any]] = {"embedded": embedded, "production": production}


@pytest.mark.timeout(420)
@pytest.mark.parametrize("mode", MODES)
def test_a_drifting_model_is_noticed_contained_verified_told_and_learnt_from(
    mode: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = stack.enter_context(outside())
        vendors = {
            "slack": stack.enter_context(prism("slack/outbound/slack_web_api.openapi3.mock.json")),
            "pagerduty": stack.enter_context(
                prism("pagerduty/outbound/events_v2.openapi.json", prefix="/v2")
            ),
            "jira": stack.enter_context(prism("jira/outbound/jira_cloud_v3.openapi.mock.json")),
        }
        home = stack.enter_context(MODES[mode](tmp_path))
        data(home, "reference", seed=1)
        data(home, "current", seed=2, autumn=True, clicks=0.13)
        home.python(SEED.format(gateway=world.url, **vendors))
        the_main_job(home, world, watched(stack, home))
