"""An Azure application: where playbooks shift traffic of Azure ML online endpoints."""

from __future__ import annotations

from integrations.contract import Field, Provider


class AzureAccount(Provider):
    title = "Microsoft Azure"
    docs = "https://learn.microsoft.com/rest/api/azureml/online-endpoints"
    summary = "Playbooks change the traffic of Azure ML online endpoints with this account, and read it back."
    acting = True
    fields = (
        Field("tenant_id", "Tenant", "Directory (tenant) id."),
        Field("client_id", "Application", "Application (client) id."),
        Field("client_secret", "Client secret", secret=True),
        Field("subscription_id", "Subscription"),
        Field("resource_group", "Resource group"),
        Field("workspace", "Workspace", "Of Azure Machine Learning."),
        Field(
            "api_url",
            "API address",
            "Other in sovereign clouds.",
            required=False,
            kind="url",
            default="https://management.azure.com",
        ),
        Field(
            "login_url",
            "Sign-in address",
            "Other in sovereign clouds.",
            required=False,
            kind="url",
            default="https://login.microsoftonline.com",
        ),
    )
    idempotency = "A change sets the whole traffic and refuses to overwrite a newer state."
