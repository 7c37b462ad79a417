"""A model gateway with a small HTTP interface: where playbooks contain, by `http_call` and `http_read`."""

from __future__ import annotations

from integrations.contract import Field, Provider


class Gateway(Provider):
    title = "Model gateway (HTTP)"
    docs = "https://www.rfc-editor.org/rfc/rfc9110"
    summary = "Playbooks shift traffic, hold decisions and freeze pipelines here, and read the effect back."
    acting = True
    fields = (
        Field("base_url", "Base address", "Addresses in playbooks are relative to it.", kind="url"),
        Field(
            "token",
            "Token",
            "Sent as bearer token; empty if the gateway asks for none.",
            secret=True,
            required=False,
        ),
    )
    idempotency = "Every call carries an Idempotency-Key that stays the same over retries and restarts."
