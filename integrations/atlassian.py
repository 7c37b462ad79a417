"""Calls of an Atlassian cloud site with the connection's credentials, its errors made readable."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import urlsplit

from integrations.contract import Field, Request, Response, SendError
from integrations.vendor import address, failure

#: The settings that every product of a site shares.
FIELDS = (
    Field("site", "Site", help="https://your-site.atlassian.net", kind="url"),
    Field("email", "Account e-mail", help="The account that the API token belongs to."),
    Field("api_token", "API token", help="id.atlassian.com → Security → API tokens.", secret=True),
)
EXPIRED = "Check the account e-mail and the API token; tokens expire after a year at most."


def credentials(settings: Mapping[str, Any]) -> str:
    """The account and its token as basic authentication sends them."""
    pair = f"{str(settings.get('email') or '').strip()}:{str(settings.get('api_token') or '').strip()}"
    return b64encode(pair.encode()).decode()


class Site:
    """One product's REST API. `root` is the path of the API; `hint` says what to do about a refusal."""

    def __init__(self, settings: Mapping[str, Any], product: str, root: str, hint: Callable[[Response], str]):
        self.base = address(settings, "site")
        if not urlsplit(self.base).hostname:
            raise SendError(
                f"The {product} site is missing. Set it to https://your-site.atlassian.net.", retryable=False
            )
        self.product, self.root, self.hint = product, root, hint
        self.headers = {"Authorization": f"Basic {credentials(settings)}"}

    def __call__(
        self, method: str, path: str, body: Any = None, **params: str
    ) -> Generator[Request, Response, Any]:
        """The JSON of the answer. Raises SendError with what the product said."""
        response = yield Request(
            method, f"{self.base}{self.root}{path}", headers=self.headers, json=body, params=params
        )
        if 200 <= response.status < 300:
            return response.json
        hint = EXPIRED if response.status == 401 else self.hint(response)
        error = failure(response, self.product, complaint(response.json), hint)
        error.retryable = error.retryable or response.status == 409  # somebody changed it at the same moment
        raise error

    def rows(self, answer: Any, name: str) -> list[dict[str, Any]]:
        """The list of that name. A success without it comes from something else, such as a login page; reading it as
        "nothing found" would create a second issue."""
        found = answer.get(name) if isinstance(answer, Mapping) else None
        if not isinstance(found, list):
            raise SendError(
                f"{self.product} answered without {name}. Check that the site is the address of a {self.product} "
                "Cloud site.",
                retryable=False,
            )
        return [row for row in found if isinstance(row, dict)]


def complaint(answer: Any) -> str:
    """`errorMessages` and `errors`, in the forms of both products, as one readable line."""
    if not isinstance(answer, dict):
        return ""
    messages, errors = answer.get("errorMessages"), answer.get("errors")
    said = [str(message) for message in messages] if isinstance(messages, list) else []
    if isinstance(errors, dict):
        said += [f"{field}: {message}" for field, message in errors.items()]
    if isinstance(errors, list):
        said += [str(one.get("title") or one.get("detail") or one) for one in errors if isinstance(one, dict)]
    if isinstance(answer.get("message"), str):
        said.append(answer["message"])
    return "; ".join(said)
