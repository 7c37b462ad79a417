"""An Azure ML online endpoint: the traffic of its deployments.

Traffic changes only by a PUT of the whole endpoint (PATCH takes tags, identity and sku): read, modify, write.
https://learn.microsoft.com/rest/api/azureml/online-endpoints/create-or-update
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

from integrations.platforms.account import Account, account_of
from integrations.platforms.rest import Rest, part
from integrations.platforms.tokens import access_token
from integrations.platforms.traffic import Place, State, endpoint_of
from playbooks.contract import ActionError, StepContext

VERSION = {"api-version": "2023-04-01"}
#: What the service fills in; a PUT that repeats it is refused or ignored.
_READ_ONLY = ("scoringUri", "swaggerUri", "provisioningState")
_WRITTEN = ("location", "tags", "kind", "identity", "sku")


class OnlineEndpoint(Place):
    platform: ClassVar[str] = "azureml"

    def __init__(self, azure: Rest, workspace: str, endpoint: str) -> None:
        self.azure, self.path = azure, f"{workspace}/onlineEndpoints/{part(endpoint)}"
        self.name = f"Azure ML endpoint {endpoint}"

    def read(self) -> State:
        answer = self.azure.ask("GET", self.path, params=VERSION, headers={"Cache-Control": "no-cache"})
        found = answer.json
        if not isinstance(found, Mapping) or not isinstance(found.get("properties"), Mapping):
            raise ActionError(
                f"{self.name} answers without properties: check the addresses in the connection."
            )
        properties = found["properties"]
        phase = str(properties.get("provisioningState") or "Succeeded")
        traffic = {name: float(percent) for name, percent in (properties.get("traffic") or {}).items()}
        return State(
            {**dict.fromkeys(self._deployments(), 0.0), **traffic},
            settled=phase in ("Succeeded", "Failed", "Canceled"),
            failed=f"its state is {phase}" if phase in ("Failed", "Canceled") else "",
            raw={"endpoint": dict(found)},
            etag=str(answer.headers.get("etag") or found.get("etag") or ""),
        )

    def change(self, shares: Mapping[str, float], state: State, key: str) -> None:
        """The whole endpoint as it was read, with other traffic; refused when it was changed in between."""
        endpoint = state.raw["endpoint"]
        body: dict[str, Any] = {name: endpoint[name] for name in _WRITTEN if endpoint.get(name) is not None}
        kept = {name: value for name, value in endpoint["properties"].items() if name not in _READ_ONLY}
        body["properties"] = {**kept, "traffic": {name: int(shares.get(name, 0)) for name in state.shares}}
        headers = {"If-Match": state.etag} if state.etag else {}
        answer = self.azure.ask("PUT", self.path, body, params=VERSION, headers=headers, bearing=(409, 412))
        if answer.status in (409, 412):
            raise ActionError(f"{self.name} was changed at the same moment.", retryable=True, retry_after=5)

    def _deployments(self) -> list[str]:
        """Names of the deployments, also of those without traffic (one page holds more than an endpoint may have)."""
        answer = self.azure.read(f"{self.path}/deployments", params=VERSION)
        return [str(item["name"]).rpartition("/")[2] for item in answer.get("value") or []]


def endpoint_at(ctx: StepContext) -> OnlineEndpoint:
    """The endpoint of a step, in the workspace of its Azure account. Raises ActionError."""
    found = account_of(ctx, "azure_account")
    token = _token(found)
    workspace = (
        f"/subscriptions/{part(found.text('subscription_id'))}/resourceGroups/{part(found.text('resource_group'))}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{part(found.text('workspace'))}"
    )
    headers = {"Authorization": f"Bearer {token}"}
    azure = Rest("Azure ML", found.text("api_url"), headers, (*found.secrets, token))
    return OnlineEndpoint(azure, workspace, endpoint_of(ctx, "azureml"))


def _token(found: Account) -> str:
    """A token for the application, by its client secret.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """
    client, secret, scope = (
        found.text("client_id"),
        found.text("client_secret"),
        f"{found.text('api_url')}/.default",
    )
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret, "scope": scope}
    url = f"{found.text('login_url').rstrip('/')}/{part(found.text('tenant_id'))}/oauth2/v2.0/token"
    key = hashlib.sha256(f"azure {url} {client} {scope} {secret}".encode()).hexdigest()
    return access_token(key, url, lambda: form, "Azure", secret)
