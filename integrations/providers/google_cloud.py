"""A Google Cloud service account: where playbooks shift traffic of Vertex AI endpoints."""

from __future__ import annotations

from integrations.contract import Field, Provider


class GoogleCloud(Provider):
    title = "Google Cloud"
    docs = "https://cloud.google.com/vertex-ai/docs/reference/rest"
    summary = "Playbooks change the traffic split of Vertex AI endpoints with this account, and read it back."
    acting = True
    fields = (
        Field("project", "Project", "Its id."),
        Field("location", "Location", "Such as europe-west4."),
        Field("client_email", "Service account", "client_email of its key file."),
        Field("private_key", "Private key", "private_key of its key file.", secret=True),
        Field(
            "login_url",
            "Sign-in address",
            "token_uri of its key file.",
            required=False,
            kind="url",
            default="https://oauth2.googleapis.com/token",
        ),
        Field(
            "api_url",
            "API address",
            "Default: Vertex AI in the endpoint's location.",
            required=False,
            kind="url",
        ),
    )
    idempotency = (
        "A patch sets the split and refuses to overwrite a newer state: sent twice, it has the same effect."
    )
