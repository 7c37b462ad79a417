"""Apache Airflow: where playbooks start pipelines, wait for them, and pause retraining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.contract import Field, Provider


class Airflow(Provider):
    title = "Apache Airflow"
    docs = "https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html"
    summary = "Playbooks run DAGs (backfill, retraining), wait for their end, and pause DAGs."
    acting = True
    fields = (
        Field("base_url", "Address", "Of the web server, without /api.", kind="url"),
        Field(
            "version",
            "Airflow",
            "3 (REST v2) or 2 (REST v1).",
            kind="choice",
            choices=("3", "2"),
            default="3",
        ),
        Field("username", "User", "With the right to trigger and edit the DAGs.", required=False),
        Field("password", "Password", "Of that user.", secret=True, required=False),
        Field("token", "Token", "Instead of user and password.", secret=True, required=False),
    )
    idempotency = (
        "A DAG run is started with an id made of the step's idempotency key and looked up before: Airflow "
        "refuses a second run with the same id."
    )

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        if settings.get("token") or (settings.get("username") and settings.get("password")):
            return {}
        return {"token": "give a token, or user and password"}
