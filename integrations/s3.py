"""Amazon S3 for polling: list a prefix and read small objects, signed with SigV4; the requests are only yielded."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree

from integrations import normalise
from integrations.contract import Request, Response, SendError
from integrations.platforms.aws import Aws
from integrations.vendor import address, failure

#: Pages of 1,000 keys of one round at most.
MOST_PAGES = 20
#: S3 answers in this namespace, some servers that speak its protocol in none.
_ANY = "{*}"

_ACCOUNT = ("region", "access_key_id", "secret_access_key", "session_token")

_HELP = {
    "AccessDenied": "Give the access key s3:ListBucket on the bucket and s3:GetObject on its objects.",
    "NoSuchBucket": "Check the bucket and its region.",
    "InvalidAccessKeyId": "Enter the access key again.",
    "SignatureDoesNotMatch": "Enter the secret access key again.",
    "ExpiredToken": "Enter a fresh session token, or a key that does not expire.",
    "PermanentRedirect": "Enter the region that the bucket lies in.",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a listing."""

    key: str
    etag: str
    size: int
    modified: datetime | None


class Bucket:
    """One bucket with one connection's credentials. Its methods raise SendError."""

    def __init__(self, settings: Mapping[str, Any]):
        self.name = str(settings.get("bucket") or "").strip()
        said = {name: str(settings.get(name) or "").strip() for name in _ACCOUNT}
        self.aws = Aws(
            said["region"], said["access_key_id"], said["secret_access_key"], said["session_token"]
        )
        host = f"https://s3.{self.aws.region}.amazonaws.com"
        self.base = f"{address(settings, 'endpoint_url', host)}/{quote(self.name, safe='')}"

    def listing(self, prefix: str) -> Generator[Request, Response, list[Found]]:
        """Every object under the prefix, in the order of keys."""
        found: list[Found] = []
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        for _ in range(MOST_PAGES):
            response = yield self._signed(f"{self.base}?{urlencode(sorted(query.items()), quote_via=quote)}")
            page = _xml(_passed(response))
            for one in page.iterfind(f"{_ANY}Contents"):
                told = {child.tag.rpartition("}")[2]: child.text or "" for child in one}
                found.append(
                    Found(
                        unquote(told.get("Key", "")),
                        told.get("ETag", "").strip('"'),
                        normalise.whole(told.get("Size")) or 0,
                        normalise.moment(told.get("LastModified")),
                    )
                )
            token = page.findtext(f"{_ANY}NextContinuationToken")
            if not token:
                return found
            query["continuation-token"] = token
        raise SendError(
            f"There are more than {MOST_PAGES * 1000:,} objects under this prefix. Enter a longer prefix.",
            retryable=False,
        )

    def read(self, key: str) -> Generator[Request, Response, str]:
        """The text of one object."""
        return _passed((yield self._signed(f"{self.base}/{quote(key, safe='/~')}")))

    def _signed(self, url: str) -> Request:
        return self.aws.signed("s3", Request("GET", url, timeout=20.0))


def _passed(response: Response) -> str:
    if 200 <= response.status < 300:
        return response.text
    try:
        code = _xml(response.text).findtext(f"{_ANY}Code") or ""
    except SendError:  # an answer that is not S3's: the status has to tell
        code = ""
    raise failure(response, "Amazon S3", code, _HELP.get(code, ""))


def _xml(written: str) -> ElementTree.Element:
    try:
        # expat bounds how far entities may blow up, and the transport how long an answer is
        return ElementTree.fromstring(written)  # noqa: S314
    except ElementTree.ParseError as error:
        raise SendError(
            "S3 answered with something that is not its API. Check the S3 address.", retryable=False
        ) from error
