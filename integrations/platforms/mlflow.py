"""An alias in MLflow's model registry: the version that serves wherever the alias is resolved.

REST API 2.0: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from integrations.platforms.account import account_of
from integrations.platforms.rest import Rest, authorized
from integrations.platforms.traffic import Place, State, endpoint_of
from playbooks.contract import ActionError, StepContext

API = "/api/2.0/mlflow"
_ENDPOINT = re.compile(r"(?:models:/)?(?P<model>[^@]+)@(?P<alias>[^@]+)")


class Alias(Place):
    platform: ClassVar[str] = "mlflow"
    registry: ClassVar[bool] = True

    def __init__(self, server: Rest, endpoint: str) -> None:
        parts = _ENDPOINT.fullmatch(endpoint)
        if parts is None:
            raise ActionError(f"{endpoint!r} names no alias: write it as models:/credit-risk@champion.")
        self.server, self.model, self.alias = server, parts["model"], parts["alias"]
        self.name = f"MLflow alias {self.model}@{self.alias}"

    def read(self) -> State:
        """The version behind the alias. MLflow answers 400 for an alias that is not set."""
        answer = self._get("registered-models/alias", name=self.model, alias=self.alias)
        if answer is None:
            raise ActionError(
                f"There is no {self.name}: correct the model or the alias, or set it once by hand."
            )
        version = answer["model_version"]
        return State({str(version["version"]): 100}, raw={"source": str(version.get("source") or "")})

    def called(self, version: str, state: State) -> str:
        """The number of a version: `7`, `v7` and `models:/credit-risk/7` are the same."""
        number = version.rpartition("/")[2].lower().removeprefix("v")
        if not number.isdecimal():
            raise self.gone(version, state.shares)
        answer = self._get("model-versions/get", name=self.model, version=number)
        if answer is None:
            raise self.gone(version, state.shares)
        status = str(answer["model_version"].get("status") or "READY")
        if status != "READY":
            raise ActionError(
                f"Version {number} of {self.model} is {status} in the registry, so it cannot serve."
            )
        return number

    def change(self, shares: Mapping[str, float], state: State, key: str) -> None:
        chosen = [version for version, percent in shares.items() if percent > 0]
        if len(chosen) != 1:
            raise ActionError(f"{self.name} points to one version; it cannot split traffic.")
        body = {"name": self.model, "alias": self.alias, "version": chosen[0]}
        self.server.ask("POST", f"{API}/registered-models/alias", body)

    def _get(self, path: str, **params: str) -> Any:
        """The answer, or None when there is no such thing. Raises ActionError."""
        response = self.server.ask(
            "GET", f"{API}/{path}", params=params, headers={"Cache-Control": "no-cache"}, bearing=(400, 404)
        )
        if isinstance(response.json, Mapping) and "model_version" in response.json:
            return response.json
        if response.status == 200:
            raise ActionError(
                f"{self.server.base} does not answer like an MLflow server: check the connection."
            )
        return None


def alias_of(ctx: StepContext) -> Alias:
    """The alias of a step (`models:/credit-risk@champion`). Raises ActionError."""
    return Alias(authorized("MLflow", account_of(ctx, "mlflow_server")), endpoint_of(ctx, "mlflow"))
