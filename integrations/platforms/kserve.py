"""A KServe InferenceService in serverless mode: how much traffic its newest revision gets.

`canaryTrafficPercent` is the share of the newest revision; the rest goes to the last one that was rolled out.
https://kserve.github.io/website/docs/model-serving/predictive-inference/rollout-strategies/canary
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from integrations.platforms.account import account_of
from integrations.platforms.rest import Rest, part
from integrations.platforms.traffic import Place, State, endpoint_of, serving_of
from playbooks.contract import ActionError, StepContext

API = "/apis/serving.kserve.io/v1beta1"
MERGE = {"Content-Type": "application/merge-patch+json"}


class InferenceService(Place):
    platform: ClassVar[str] = "kserve"

    def __init__(self, cluster: Rest, namespace: str, service: str) -> None:
        self.cluster = cluster
        self.path = f"{API}/namespaces/{part(namespace)}/inferenceservices/{part(service)}"
        self.name = f"InferenceService {namespace}/{service}"

    def read(self) -> State:
        """The controller has caught up when it observed the newest generation and says Ready."""
        found = self.cluster.read(self.path)
        status = found.get("status") or {}
        predictor = (status.get("components") or {}).get("predictor") or {}
        newest, other = _revisions(predictor)
        if not newest or "traffic" not in predictor:
            raise ActionError(
                f"{self.name} reports no revisions with traffic: only serverless mode can split it. Change what "
                "it serves by other means."
            )
        shares: dict[str, float] = {name: 0 for name in (newest, other) if name}
        for target in predictor["traffic"]:
            name = str(target.get("revisionName") or newest)
            shares[name] = shares.get(name, 0) + float(target.get("percent") or 0)
        observed = int(status.get("observedGeneration") or 0)
        ready = {str(c.get("type")): c for c in status.get("conditions") or []}.get("Ready") or {}
        generation = int(found["metadata"].get("generation") or 0)
        return State(
            shares,
            settled=observed >= generation and ready.get("status") != "Unknown",
            failed=_trouble(ready) if observed >= generation else "",
            raw={
                "canaryTrafficPercent": found["spec"]["predictor"].get("canaryTrafficPercent"),
                "newest": newest,
            },
            etag=str(found["metadata"].get("resourceVersion") or ""),
        )

    def change(self, shares: Mapping[str, float], state: State, key: str) -> None:
        """Raises ActionError for revisions that this service cannot send traffic to."""
        newest = str(state.raw["newest"])
        self._patch(int(shares.get(newest, 0)), state)

    def restore(self, before: State, state: State, key: str) -> None:
        """The percentage as it was, also when it was not set at all (null removes it in a merge patch)."""
        if before.raw.get("newest") != state.raw["newest"]:
            raise ActionError(
                f"{self.name} has a newer revision than before ({state.raw['newest']}), so its former split means "
                "something else now: restore it by hand."
            )
        self._patch(before.raw.get("canaryTrafficPercent"), state)

    def _patch(self, percent: int | None, state: State) -> None:
        body: dict[str, Any] = {"spec": {"predictor": {"canaryTrafficPercent": percent}}}
        if state.etag:
            body["metadata"] = {"resourceVersion": state.etag}
        answer = self.cluster.ask("PATCH", self.path, body, headers=MERGE, bearing=(409,))
        if answer.status == 409:
            raise ActionError(f"{self.name} was changed at the same moment.", retryable=True, retry_after=2)


def _revisions(predictor: Mapping[str, Any]) -> tuple[str, str]:
    """The newest ready revision, and the one that gets what the newest does not."""
    newest = str(predictor.get("latestReadyRevision") or "")
    rolled_out = str(predictor.get("latestRolledoutRevision") or "")
    other = str(predictor.get("previousRolledoutRevision") or "") if rolled_out == newest else rolled_out
    return newest, other


def _trouble(ready: Mapping[str, Any]) -> str:
    if ready.get("status") != "False":
        return ""
    return f"{ready.get('reason') or 'not ready'}: {ready.get('message') or 'no message'}"


def service_of(ctx: StepContext) -> InferenceService:
    """The service of a step: `endpoint` is its name, or namespace/name. Raises ActionError."""
    found = account_of(ctx, "kubernetes")
    token = found.text("token")
    cluster = Rest("Kubernetes", found.text("api_url"), {"Authorization": f"Bearer {token}"}, found.secrets)
    namespace, _, name = endpoint_of(ctx, "kserve").rpartition("/")
    namespace = namespace or str(serving_of(ctx).get("namespace") or found.text("namespace", "default"))
    return InferenceService(cluster, namespace, name)
