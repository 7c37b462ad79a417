"""An MLflow tracking server: where playbooks move aliases of the model registry."""

from __future__ import annotations

from integrations.contract import Field, Provider


class MlflowServer(Provider):
    title = "MLflow registry"
    docs = "https://mlflow.org/docs/latest/api_reference/rest-api.html"
    summary = "Playbooks move aliases of registered models here, and read them back."
    acting = True
    fields = (
        Field("base_url", "Address", "Of the tracking server, without /api.", kind="url"),
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
    idempotency = "Setting an alias overwrites it: sent twice, it has the same effect."
