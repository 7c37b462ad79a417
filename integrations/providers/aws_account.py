"""An Amazon Web Services account: where playbooks shift SageMaker traffic, start pipelines and keep objects."""

from __future__ import annotations

from integrations.contract import Field, Provider


class AwsAccount(Provider):
    title = "Amazon Web Services"
    docs = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html"
    summary = "Playbooks change SageMaker endpoints and use S3 with this account, and read every effect back."
    acting = True
    fields = (
        Field("region", "Region", "Such as eu-central-1."),
        Field("access_key_id", "Access key id", "Of a user with only the rights its playbooks need."),
        Field("secret_access_key", "Secret access key", secret=True),
        Field("session_token", "Session token", "For temporary credentials.", secret=True, required=False),
        Field(
            "endpoint_url",
            "Endpoint",
            "Of all services, where it is not Amazon's own: a private endpoint, an emulator.",
            required=False,
            kind="url",
        ),
    )
    idempotency = "Changes set a state and do not add to one: sent twice, they have the same effect."
