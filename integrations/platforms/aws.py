"""Speaks to Amazon Web Services: finds the endpoint of a service and signs requests (Signature Version 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import create_loader
from botocore.regions import EndpointResolver

from integrations import http
from integrations.contract import Request, Response, SendError
from integrations.masking import mask
from integrations.platforms.account import account_of
from integrations.platforms.rest import SECONDS
from integrations.vendor import failure
from playbooks.contract import ActionError, StepContext

#: Where a service's endpoint has another name than its signature.
_PREFIXES = {"sagemaker": "api.sagemaker"}

#: Services that speak JSON 1.1, with the prefix of `X-Amz-Target`.
#: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
_TARGETS = {"sagemaker": "SageMaker"}

#: Refusals with status 400 that pass by themselves.
#: https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html
_PASSING = ("Throttling", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ServiceUnavailable")


@dataclass(frozen=True, slots=True)
class Aws:
    """An account in one region. Requests leave through `integrations.http`; nothing is read from the machine's
    own AWS settings."""

    region: str
    key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    endpoint: str = ""  #: of all services, where it is not Amazon's own (a private endpoint, an emulator)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(value for value in (self.secret, self.token) if value)

    def address(self, service: str) -> str:
        """The address of a service in the region, without a slash at its end. Raises ActionError."""
        if self.endpoint:
            return self.endpoint.rstrip("/")
        found = _endpoints().construct_endpoint(_PREFIXES.get(service, service), self.region)
        if not found:
            raise ActionError(f"AWS has no {service} in the region {self.region!r}: correct the connection.")
        return f"https://{found['hostname']}"

    def signed(self, service: str, request: Request) -> Request:
        """The same request with its signature. Send it as it is and at once: it is good for some minutes.

        `request.params` must be part of the URL already.
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
        """
        body = request.body
        headers = dict(request.headers)
        if request.json is not None:
            body = json.dumps(request.json).encode()
            headers.setdefault("Content-Type", "application/json")
        unsigned = AWSRequest(method=request.method, url=request.url, data=body or b"", headers=headers)
        how = S3SigV4Auth if service == "s3" else SigV4Auth
        how(Credentials(self.key, self.secret, self.token or None), service, self.region).add_auth(unsigned)
        return replace(request, headers=dict(unsigned.headers.items()), json=None, body=body)

    def send(self, service: str, request: Request) -> Response:
        """Sign and send a request that must succeed. Raises ActionError."""
        try:
            response = http.send(self.signed(service, request), secrets=self.secrets)
            if not 200 <= response.status < 300:
                raise failure(response, f"AWS {service}", mask(_complaint(response), self.secrets))
        except SendError as error:
            passes = error.retryable or any(name in str(error) for name in _PASSING)
            raise ActionError(str(error), retryable=passes, retry_after=error.retry_after) from error
        return response

    def ask(self, service: str, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation of a service that speaks JSON (`ask("sagemaker", "DescribeEndpoint", {…})`).

        Raises ActionError.
        """
        headers = {
            "X-Amz-Target": f"{_TARGETS[service]}.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        request = Request("POST", f"{self.address(service)}/", headers, json=dict(body), timeout=SECONDS)
        answer = self.send(service, request).json
        if not isinstance(answer, dict):
            raise ActionError(
                f"AWS {service} answered {operation} without JSON: check the connection's address."
            )
        return answer


def aws_of(ctx: StepContext) -> Aws:
    """The AWS account of a step (see `account_of`). Raises ActionError."""
    found = account_of(ctx, "aws_account")
    return Aws(
        region=found.text("region"),
        key=found.text("access_key_id"),
        secret=found.text("secret_access_key"),
        token=found.text("session_token"),
        endpoint=found.text("endpoint_url"),
    )


@cache
def _endpoints() -> EndpointResolver:
    return EndpointResolver(create_loader().load_data("endpoints"))


def _complaint(response: Response) -> str:
    """What AWS says: name and message of the error, from JSON or from XML."""
    if isinstance(response.json, Mapping):
        kind = str(response.json.get("__type") or "").rpartition("#")[2]
        return f"{kind}: {response.json.get('message') or response.json.get('Message') or ''}"
    kind, message = (
        response.text.partition(f"<{name}>")[2].partition(f"</{name}>")[0] for name in ("Code", "Message")
    )
    return f"{kind}: {message}" if kind else response.text
