"""A Vertex AI endpoint: its traffic split between deployed models.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import jwt

from integrations.contract import Response
from integrations.platforms.account import Account, account_of
from integrations.platforms.rest import Rest
from integrations.platforms.tokens import access_token
from integrations.platforms.traffic import Place, State, endpoint_of
from playbooks.contract import ActionError, StepContext

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: What Vertex fills in; a deployment that repeats it is refused.
_OUTPUT_ONLY = ("createTime", "modelVersionId", "privateEndpoints", "status")
#: A deployment with this id is there or on its way.
#: https://cloud.google.com/apis/design/errors#handling_errors
_UNDER_WAY = ("ALREADY_EXISTS", "ABORTED", "FAILED_PRECONDITION")
_OPERATION = re.compile(r"projects/[\w.:-]+/locations/[a-z0-9-]+/(?:endpoints/[\w-]+/)?operations/[\w-]+")
_ENDPOINT = re.compile(r"projects/[\w.:-]+/locations/(?P<location>[a-z0-9-]+)/endpoints/[\w-]+")


class Endpoint(Place):
    platform: ClassVar[str] = "vertex"

    def __init__(self, google: Rest, resource: str) -> None:
        self.google, self.path = google, f"/v1/{resource}"
        self.name = f"Vertex endpoint {resource}"

    def read(self) -> State:
        found = self.google.read(self.path)
        split = {str(name): float(percent) for name, percent in (found.get("trafficSplit") or {}).items()}
        models = {
            str(model["id"]): {
                name: str(model.get(name) or "") for name in ("displayName", "modelVersionId", "model")
            }
            for model in found.get("deployedModels") or []
        }
        return State(
            {name: split.get(name, 0) for name in models},
            raw={"deployed": models},
            etag=str(found.get("etag") or ""),
        )

    def called(self, version: str, state: State) -> str:
        """The id of the deployed model that is called so: by id, display name, version, or model@version."""
        deployed: Mapping[str, Mapping[str, str]] = state.raw["deployed"]
        if version in deployed:
            return version
        found = [
            id
            for id, model in deployed.items()
            if version
            in (model["displayName"], model["modelVersionId"], f"{model['model']}@{model['modelVersionId']}")
        ]
        if len(found) > 1:
            raise ActionError(
                f"{self.name} has {len(found)} deployed models called {version}: name one by its id."
            )
        if not found:
            raise self.gone(version, [f"{id} ({model['displayName']})" for id, model in deployed.items()])
        return found[0]

    def change(self, shares: Mapping[str, float], state: State, key: str) -> None:
        """The etag makes Vertex refuse the change when somebody else's came in between."""
        body = {"trafficSplit": {name: int(percent) for name, percent in shares.items() if percent > 0}}
        answer = self.google.ask(
            "PATCH",
            self.path,
            {**body, "etag": state.etag} if state.etag else body,
            params={"updateMask": "trafficSplit"},
            bearing=(409, 412),
        )
        if answer.status in (409, 412):
            raise ActionError(f"{self.name} was changed at the same moment.", retryable=True, retry_after=2)

    def deployed(self) -> dict[str, dict[str, Any]]:
        """The deployed models by id, as one asks for them: what `deploy` takes."""
        asked: dict[str, dict[str, Any]] = {}
        for model in self.google.read(self.path).get("deployedModels") or []:
            spec = {name: value for name, value in model.items() if name not in _OUTPUT_ONLY}
            if version := model.get("modelVersionId"):
                spec["model"] = f"{model['model']}@{version}"
            asked[str(model["id"])] = spec
        return asked

    def undeploy(self, model: str) -> str:
        """Take a deployed model without traffic down; the name of the operation that does it."""
        answer = self.google.ask("POST", f"{self.path}:undeployModel", {"deployedModelId": model})
        return self._operation(answer)

    def deploy(self, model: Mapping[str, Any], shares: Mapping[str, float]) -> None:
        """Ask for a deployment without changing who gets traffic. Asked again while it is under way, nothing happens."""
        split = {name: int(percent) for name, percent in shares.items() if percent > 0}
        body = {"deployedModel": dict(model), **({"trafficSplit": split} if split else {})}
        answer = self.google.ask("POST", f"{self.path}:deployModel", body, bearing=(400, 409))
        error = answer.json.get("error") if isinstance(answer.json, Mapping) else None
        if answer.status >= 400 and not (isinstance(error, Mapping) and error.get("status") in _UNDER_WAY):
            raise ActionError(f"{self.name} refuses to deploy {model.get('id')} again: {answer.text[:500]}")

    def finished(self, operation: str) -> bool:
        """Whether a long-running operation has ended well. Raises ActionError when it failed.

        https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.operations
        """
        found = self.google.read(f"/v1/{operation}")
        if error := found.get("error"):
            raise ActionError(f"{self.name} gave it up: {error.get('message') or error}")
        return bool(found.get("done"))

    def _operation(self, answer: Response) -> str:
        name = str(answer.json.get("name")) if isinstance(answer.json, Mapping) else ""
        if not _OPERATION.fullmatch(name):
            raise ActionError(f"{self.name} named no operation to wait for: look at the endpoint.")
        return name


def endpoint_at(ctx: StepContext) -> Endpoint:
    """The endpoint of a step: its full resource name, or its id in the account's project and location."""
    found = account_of(ctx, "google_cloud")
    resource = endpoint_of(ctx, "vertex")
    if "/" not in resource:
        resource = f"projects/{found.text('project')}/locations/{found.text('location')}/endpoints/{resource}"
    parts = _ENDPOINT.fullmatch(resource)
    if parts is None:
        raise ActionError(
            f"{resource!r} is no endpoint: write projects/…/locations/…/endpoints/… or the id alone."
        )
    base = found.text("api_url") or f"https://{parts['location']}-aiplatform.googleapis.com"
    token = _token(found)
    headers = {"Authorization": f"Bearer {token}"}
    return Endpoint(Rest("Vertex AI", base, headers, (*found.secrets, token)), resource)


def _token(found: Account) -> str:
    """A token for the service account, for a signed statement that is good for an hour.

    https://developers.google.com/identity/protocols/oauth2/service-account#httprest
    """
    email, url = found.text("client_email"), found.text("login_url")
    secret = found.text("private_key").replace("\\n", "\n")

    def form() -> Mapping[str, str]:
        now = int(time.time())
        claims = {"iss": email, "scope": SCOPE, "aud": url, "iat": now, "exp": now + 3600}
        try:
            signed = jwt.encode(claims, secret, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise ActionError(
                f"The private key of the connection {found.name} cannot be used: {error}"
            ) from error
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}

    key = hashlib.sha256(f"google {email} {url} {secret}".encode()).hexdigest()
    return access_token(key, url, form, "Google", secret)
