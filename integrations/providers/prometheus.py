"""A Prometheus server: where playbooks read how a metric went around an incident."""

from __future__ import annotations

from integrations.contract import Field, Provider


class Prometheus(Provider):
    title = "Prometheus"
    docs = "https://prometheus.io/docs/prometheus/latest/querying/api/"
    summary = "Playbooks read metrics around an incident here, and keep them as a chart."
    acting = True
    fields = (
        Field("base_url", "Address", "Of the server, without /api.", kind="url"),
        Field("username", "User", "For basic authentication.", required=False),
        Field("password", "Password", secret=True, required=False),
        Field(
            "token",
            "Token",
            "Sent as bearer token, instead of user and password.",
            secret=True,
            required=False,
        ),
    )
    idempotency = "Queries are read only."
