"""Says who else is hit: systems that share upstream data or training data with the one in question."""

from __future__ import annotations

import json
from typing import Any

from incidents.models import AISystem, Alert, Incident, ModelVersion
from playbooks.contract import Action, Done, Exhibit, StepContext


class BlastRadius(Action):
    title = "Estimate the blast radius"
    summary = (
        "Systems with the same upstream data or training data, their risk, what fires and is open there."
    )
    outputs = ("systems", "count", "consequential", "firing", "datasets")

    def run(self, ctx: StepContext) -> Done:
        if ctx.system is None:
            return Done(
                {"systems": [], "count": 0, "consequential": 0, "firing": 0, "datasets": []},
                verdict="inconclusive",
                summary="The incident names no AI system: link one to see what shares its data.",
            )
        upstream = list(ctx.system.upstream.all())
        trained_on = set(
            ctx.system.versions.exclude(training_data="").values_list("training_data", flat=True)
        )
        sharing: dict[int, set[str]] = {}
        for data in upstream:
            for pk in data.consumers.values_list("pk", flat=True):
                sharing.setdefault(pk, set()).add(data.name)
        for pk, data_name in ModelVersion.objects.filter(training_data__in=trained_on).values_list(
            "system_id", "training_data"
        ):
            sharing.setdefault(pk, set()).add(data_name)
        sharing.pop(ctx.system.pk, None)
        systems = [
            _described(system, sorted(sharing[system.pk]))
            for system in AISystem.objects.filter(pk__in=sharing, retired_at=None).order_by("slug")
        ]
        firing = sum(1 for item in systems if item["firing_alerts"])
        consequential = sum(1 for item in systems if item["decision_type"] == "consequential")
        kept = {
            "system": ctx.system.slug,
            "upstream": [
                {"name": data.name, "kind": data.kind, "location": data.location} for data in upstream
            ],
            "systems": systems,
        }
        outputs = {
            "systems": systems[:50],
            "count": len(systems),
            "consequential": consequential,
            "firing": firing,
            "datasets": [data.name for data in upstream],
        }
        summary = (
            f"{len(systems)} other systems share its data"
            + (f" ({', '.join(item['slug'] for item in systems[:8])})" if systems else "")
            + f"; {consequential} take consequential decisions, alerts fire on {firing}."
        )
        exhibit = Exhibit(
            "blast-radius.json", json.dumps(kept, indent=1).encode(), source="own records", note="Who shares the data"
        )  # fmt: skip
        return Done(outputs, [exhibit], summary=summary)


def _described(system: AISystem, shared: list[str]) -> dict[str, Any]:
    open_incidents = Incident.objects.filter(system=system, open_key__isnull=False, restricted=False)
    return {
        "slug": system.slug,
        "tier": system.risk_tier,
        "decision_type": system.decision_type,
        "shared": shared,
        "firing_alerts": Alert.objects.filter(system=system, status="firing").count(),
        "open_incidents": [incident.key for incident in open_incidents[:5]],
    }
