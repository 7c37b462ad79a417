"""A Kubernetes cluster: where playbooks shift traffic between revisions of KServe inference services."""

from __future__ import annotations

from integrations.contract import Field, Provider


class Kubernetes(Provider):
    title = "Kubernetes (KServe)"
    docs = "https://kubernetes.io/docs/reference/using-api/api-concepts/"
    summary = "Playbooks set the canary share of KServe inference services here, and read the traffic back."
    acting = True
    fields = (
        Field("api_url", "Address", "Of the API server.", kind="url"),
        Field(
            "token", "Token", "Of a service account that may get and patch inference services.", secret=True
        ),
        Field("namespace", "Namespace", "Where an endpoint names none.", required=False, default="default"),
    )
    idempotency = (
        "A patch sets a share and refuses to overwrite a newer state: sent twice, it has the same effect."
    )
