"""Data in S3: requests and answers as botocore's service model has them, on our own transport.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from botocore.awsrequest import HeadersDict
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from integrations import http
from integrations.contract import Request, SendError
from integrations.platforms.aws import Aws, aws_of
from integrations.platforms.held import Item, effect_name, items_of, unchanged
from integrations.vendor import failure
from playbooks.contract import ActionError, StepContext

SECONDS = 30.0
MAX_OBJECTS = 1000
LARGEST = 5 * 1024**3  #: bytes that one CopyObject takes
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class S3:
    """One account's S3."""

    aws: Aws

    def call(
        self, operation: str, *, bearing: tuple[int, ...] = (), body: bytes = b"", **args: Any
    ) -> dict[str, Any]:
        """An operation by its name. A status in `bearing` is answered with {}. Raises ActionError."""
        model = _service().operation_model(operation)
        plain = create_serializer("rest-xml", include_validation=False).serialize_to_request(args, model)
        query = urlencode(plain["query_string"])
        joint = "&" if "?" in plain["url_path"] else "?"
        url = self.aws.address("s3") + plain["url_path"] + (joint + query if query else "")
        request = Request(
            plain["method"], url, dict(plain["headers"]), body=body or plain["body"], timeout=SECONDS
        )
        try:
            response = http.send(self.aws.signed("s3", request), secrets=self.aws.secrets)
        except SendError as error:
            raise ActionError(str(error), retryable=error.retryable, retry_after=error.retry_after) from error
        if response.status in bearing:
            return {}
        answer = {
            "status_code": response.status,
            "headers": HeadersDict(response.headers),
            "body": response.text.encode(),
        }
        if operation == "GetObject" and response.status == 200:
            return {"Body": response.text}
        found: dict[str, Any] = create_parser("rest-xml").parse(answer, model.output_shape)
        # a copy can fail after its 200 has been sent
        if response.status >= 300 or (operation == "CopyObject" and "CopyObjectResult" not in found):
            said = found.get("Error", {})
            refused = failure(
                response, f"S3 ({operation})", f"{said.get('Code', '')}: {said.get('Message', '')}"
            )
            raise ActionError(str(refused), retryable=refused.retryable or response.status == 200)
        return found


@dataclass(frozen=True, slots=True)
class S3Batch:
    """An object, or all objects below a prefix. S3 has no rename: each object is copied under the condition that it is
    still the same, looked at, and only then removed from where it was."""

    ctx: StepContext
    s3: S3 = field(repr=False)
    bucket: str
    prefix: str
    hold_bucket: str
    hold: str  #: prefix of its own, with the manifest and the data

    @classmethod
    def at_origin(cls, ctx: StepContext, location: str, quarantine: str) -> S3Batch:
        """The batch at s3://bucket/prefix, to be held below `quarantine` (default: quarantine/ of the bucket)."""
        bucket, prefix = place(location)
        hold_bucket, below = place(quarantine) if quarantine else (bucket, "quarantine")
        hold = f"{below.rstrip('/')}/{effect_name(ctx)}"
        if bucket == hold_bucket and (f"{hold}/".startswith(f"{prefix.rstrip('/')}/")):
            raise ActionError(f"The quarantine {below} lies in {location}: choose another prefix.")
        return cls(ctx, S3(aws_of(ctx)), bucket, prefix, hold_bucket, hold)

    @classmethod
    def in_quarantine(cls, ctx: StepContext, held_at: str) -> S3Batch:
        """The batch that was moved to `held_at`. Raises ActionError."""
        bucket, hold = place(held_at)
        found = cls(ctx, S3(aws_of(ctx)), "", "", bucket, hold).manifest
        if found is None:
            raise ActionError(
                f"{held_at} holds no manifest, so nothing was quarantined there: correct the place."
            )
        return cls(ctx, S3(aws_of(ctx)), *place(str(found["origin"])), bucket, hold)

    @property
    def origin(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def held_at(self) -> str:
        return f"s3://{self.hold_bucket}/{self.hold}"

    @property
    def manifest(self) -> dict[str, Any] | None:
        answer = self.s3.call(
            "GetObject", Bucket=self.hold_bucket, Key=f"{self.hold}/{MANIFEST}", bearing=(404,)
        )
        if not answer:
            return None
        try:
            found: dict[str, Any] = json.loads(answer["Body"])
        except ValueError as error:
            raise ActionError(
                f"The manifest in {self.held_at} cannot be read ({error}): look at it."
            ) from error
        return found

    def check(self) -> None:
        """Raise ActionError when the batch cannot be moved."""
        too_big = [item.path for item in self.present() if item.bytes > LARGEST]
        if too_big:
            raise ActionError(
                f"{too_big[0]} is bigger than the 5 GiB that S3 copies at once: deny its reading in the bucket's policy."
            )

    def present(self) -> list[Item]:
        return self._items(self.bucket, self.prefix)

    def held(self) -> list[Item]:
        return self._items(self.hold_bucket, f"{self.hold}/data/")

    def check_present(self, manifest: Mapping[str, Any]) -> None:
        """By names and sizes: the copies back were made of what `check_held` had compared."""
        unchanged(_sizes(items_of(manifest)), _sizes(self.present()), self.origin)

    def check_held(self, manifest: Mapping[str, Any]) -> None:
        unchanged(items_of(manifest, "held"), self.held(), self.held_at)
        unchanged(_sizes(items_of(manifest)), _sizes(self.held()), self.held_at)

    def take(self, manifest: Mapping[str, Any]) -> None:
        """Keep the manifest, move what is still where it was, and note how the copies are stored."""
        self._keep({name: value for name, value in manifest.items() if name != "held"})
        for item in self.present():
            self._move(
                (self.bucket, self._key(item)), (self.hold_bucket, f"{self.hold}/data/{item.path}"), item
            )
        self._keep({**manifest, "held": [asdict(item) for item in self.held()]})

    def give_back(self) -> None:
        """Move the objects to where they belong; an object that is there now is not overwritten."""
        there = {item.path for item in self.present()}
        known = {item.path: item for item in items_of(self.manifest or {}, "held")}
        for item in self.held():
            if item.path in there:
                raise ActionError(f"{self.origin} holds {item.path} again: move it away first.")
            if known.get(item.path) != item:
                raise ActionError(
                    f"{self.held_at} holds another {item.path} than was put there: look at it first."
                )
            self._move(
                (self.hold_bucket, f"{self.hold}/data/{item.path}"), (self.bucket, self._key(item)), item
            )

    def _keep(self, manifest: Mapping[str, Any]) -> None:
        content = json.dumps(manifest, indent=1).encode()
        self.s3.call("PutObject", Bucket=self.hold_bucket, Key=f"{self.hold}/{MANIFEST}", body=content)

    def _key(self, item: Item) -> str:
        folder = self.prefix if self.prefix.endswith("/") else self.prefix.rpartition("/")[0] + "/"
        return f"{folder.lstrip('/')}{item.path}"

    def _move(self, here: tuple[str, str], there: tuple[str, str], item: Item) -> None:
        self.ctx.renew()
        self.s3.call(
            "CopyObject",
            Bucket=there[0],
            Key=there[1],
            CopySource=quote(f"{here[0]}/{here[1]}"),
            CopySourceIfMatch=item.digest,
        )
        copied = self.s3.call("HeadObject", Bucket=there[0], Key=there[1])
        if int(copied.get("ContentLength", -1)) != item.bytes:
            raise ActionError(
                f"The copy of {item.path} has {copied.get('ContentLength')} bytes, not {item.bytes}."
            )
        self.s3.call("DeleteObject", Bucket=here[0], Key=here[1])

    def _items(self, bucket: str, prefix: str) -> list[Item]:
        """What lies there, names relative to the folder of the prefix."""
        found: list[Item] = []
        folder = prefix if prefix.endswith("/") else prefix.rpartition("/")[0] + "/"
        more: dict[str, Any] = {}
        while True:
            self.ctx.renew()
            page = self.s3.call("ListObjectsV2", Bucket=bucket, Prefix=prefix, **more)
            for entry in page.get("Contents", ()):
                key = str(entry["Key"])
                if prefix.endswith("/") or key == prefix or key.startswith(f"{prefix}/"):
                    name = key.removeprefix(folder.lstrip("/"))
                    found.append(Item(name, int(entry["Size"]), str(entry["ETag"])))
            if len(found) > MAX_OBJECTS:
                raise ActionError(
                    f"s3://{bucket}/{prefix} has more than {MAX_OBJECTS:,} objects: move parts of it."
                )
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}


def _sizes(items: Sequence[Item]) -> list[Item]:
    return [replace(item, digest="") for item in items]


def place(location: str) -> tuple[str, str]:
    """Bucket and prefix of s3://bucket/prefix. Raises ActionError; a whole bucket is no place."""
    parts = urlsplit(location)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise ActionError(f"{location!r} is no place in S3: write s3://bucket/prefix/.")
    return parts.netloc, parts.path.lstrip("/")


@cache
def _service() -> ServiceModel:
    return ServiceModel(create_loader().load_service_model("s3", "service-2"), "s3")
