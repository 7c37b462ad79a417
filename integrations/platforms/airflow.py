"""Speaks to Apache Airflow: DAGs and their runs, in REST v2 (Airflow 3) and v1 (Airflow 2).

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrations.platforms.account import Account, account_of
from integrations.platforms.rest import Rest, part
from playbooks.contract import ActionError, StepContext, Unverified

GOING = ("queued", "running")
TITLE = "Airflow"


@dataclass(frozen=True, slots=True)
class Airflow:
    """One Airflow, signed in."""

    rest: Rest
    api: str

    def dag(self, dag: str) -> dict[str, Any]:
        """The DAG as Airflow describes it. Raises ActionError (404: there is none)."""
        return self._read(f"{self.api}/dags/{part(dag)}")

    def pause(self, dag: str, paused: bool) -> None:
        """Ask for the DAG to be paused or to go on."""
        self.rest.ask("PATCH", f"{self.api}/dags/{part(dag)}", {"is_paused": paused})

    def run(self, dag: str, run: str) -> dict[str, Any] | None:
        """The DAG run with this id, or None."""
        answer = self.rest.ask("GET", self._run(dag, run), bearing=(404,))
        if answer.status == 404:
            return None
        if not isinstance(answer.json, dict):
            raise ActionError(
                f"{TITLE} answered no JSON about the run {run}: check the connection's address."
            )
        return answer.json

    def start(self, dag: str, run: str, conf: Mapping[str, Any], note: str) -> dict[str, Any]:
        """The DAG run with this id, started if there is none yet. Raises Unverified when it cannot be found after."""
        found = self.run(dag, run)
        if found is None:
            body: dict[str, Any] = {"dag_run_id": run, "conf": dict(conf), "note": note}
            if self.api == "api/v2":
                body["logical_date"] = None  # v2 insists on the key
            # 409: started by a try whose answer was lost
            self.rest.ask("POST", f"{self.api}/dags/{part(dag)}/dagRuns", body, bearing=(409,))
            found = self.run(dag, run)
        if found is None:
            raise Unverified(
                f"{TITLE} took the run {run} of {dag} and does not show it: look at Airflow, then retry."
            )
        return found

    def cancel(self, dag: str, run: str) -> None:
        """Mark a run that is still going as failed, which ends its tasks."""
        self.rest.ask("PATCH", self._run(dag, run), {"state": "failed"})

    def _run(self, dag: str, run: str) -> str:
        return f"{self.api}/dags/{part(dag)}/dagRuns/{part(run)}"

    def _read(self, path: str) -> dict[str, Any]:
        found = self.rest.read(path)
        if not isinstance(found, dict):
            raise ActionError(f"{TITLE} answered {found!r:.80} at /{path}: check the connection's address.")
        return found


def airflow_of(ctx: StepContext) -> Airflow:
    """The Airflow of a step (see `account_of`), signed in. Raises ActionError."""
    account = account_of(ctx, "airflow")
    api = "api/v1" if account.text("version") == "2" else "api/v2"
    token = account.text("token")
    if token:
        return Airflow(_rest(account, f"Bearer {token}", (token,)), api)
    user, password = account.text("username"), account.text("password")
    if api == "api/v1":
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        return Airflow(_rest(account, f"Basic {basic}", (basic,)), api)
    answer = _rest(account, "", ()).ask("POST", "auth/token", {"username": user, "password": password})
    token = str((answer.json or {}).get("access_token") or "") if isinstance(answer.json, dict) else ""
    if not token:
        raise ActionError(f"{TITLE} gave no token for {user}: check the connection, or give it a token.")
    return Airflow(_rest(account, f"Bearer {token}", (token,)), api)


def awaited(ctx: StepContext, airflow: Airflow, dag: str, run: str, seconds: float) -> str:
    """The state of a run, looked at until it has ended or `seconds` are over; empty when it is gone."""
    end = time.monotonic() + seconds
    while True:
        state = str((airflow.run(dag, run) or {}).get("state") or "")
        if state not in GOING or time.monotonic() >= end:
            return state
        time.sleep(2)
        ctx.renew()


def _rest(account: Account, authorization: str, secrets: tuple[str, ...]) -> Rest:
    headers = {"Authorization": authorization} if authorization else {}
    return Rest(TITLE, account.text("base_url"), headers, (*account.secrets, *secrets))
