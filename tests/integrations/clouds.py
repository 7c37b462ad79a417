"""Small worlds of three platforms that no test can reach: each keeps state, checks every request against the
vendor's own specification, and can lie."""

from __future__ import annotations

import copy
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jsonschema
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.contracts import contract_json
from tests.integrations.local import reply, server

Answer = tuple[int, Any]


@dataclass
class Cloud(ABC):
    """What the platforms share: a token to present, and how they misbehave."""

    url: str = ""
    token: str = "access-1"
    lies: bool = False  #: answers that it will, and changes nothing
    slow: int = 0  #: so many reads show that the change is under way
    fails: bool = False  #: gives the change up
    races: int = 0  #: so many changes are refused because somebody else was faster
    writes: list[Any] = field(default_factory=list)  #: bodies of accepted changes

    @abstractmethod
    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
    ) -> Answer:
        """The answer of the platform to an authorised request."""

    def sign_in(self, path: str, form: Mapping[str, str]) -> Answer | None:
        """The answer to a request for a token; None for any other request."""
        return None

    def raced(self) -> bool:
        self.races -= 1
        return self.races >= 0


@contextmanager
def running(cloud: Cloud) -> Iterator[None]:
    """The platform answers at `cloud.url`."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        _, path, headers, raw = seen[-1]
        parts = urlsplit(path)
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            told = cloud.sign_in(parts.path, dict(parse_qsl(raw.decode())))
        elif headers.get("authorization") != f"Bearer {cloud.token}":
            told = 401, {"error": "Who are you?"}
        else:
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = json.loads(raw) if raw else None
            told = cloud.answer(request.command, parts.path, query, headers, body)
        status, answer = told or (404, {"error": f"There is no {path}."})
        etag = {"ETag": answer["etag"]} if isinstance(answer, dict) and answer.get("etag") else {}
        reply(status, json.dumps(answer).encode(), **etag)(request)

    with server(handle) as (url, seen):
        cloud.url = url
        yield


# --- KServe ------------------------------------------------------------------------------------------------
CRD = ("kserve", "outbound", "inferenceservice_v1beta1.crd_schema.trimmed.json")


@dataclass
class Cluster(Cloud):
    """One InferenceService, `models/credit`: revision 7 was rolled out after revision 6, and its controller."""

    service: dict[str, Any] = field(default_factory=dict)
    serverless: bool = True

    def __post_init__(self) -> None:
        self.service = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "credit", "namespace": "models", "generation": 2, "resourceVersion": "41"},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/credit/7"}}},
            "status": {
                "observedGeneration": 2,
                "conditions": [{"type": "Ready", "status": "True"}],
                "components": {
                    "predictor": {
                        "latestCreatedRevision": "credit-00007",
                        "latestReadyRevision": "credit-00007",
                        "latestRolledoutRevision": "credit-00007",
                        "previousRolledoutRevision": "credit-00006",
                        "traffic": [{"revisionName": "credit-00007", "latestRevision": True, "percent": 100}],
                    }
                },
            },
        }  # fmt: skip

    @property
    def predictor(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service["status"]["components"]["predictor"]
        return found

    def traffic(self) -> dict[str, int]:
        return {target["revisionName"]: target["percent"] for target in self.predictor["traffic"]}

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
    ) -> Answer:
        if path != "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices/credit":
            return 404, {"kind": "Status", "reason": "NotFound", "message": f"{path} not found"}
        if method == "PATCH":
            return self._patch(headers, body)
        if (
            self.slow
            and self.service["status"]["observedGeneration"] < self.service["metadata"]["generation"]
        ):
            self.slow -= 1
            if not self.slow:
                self._reconcile()
        shown = copy.deepcopy(self.service)
        if not self.serverless:
            del shown["status"]["components"]["predictor"]["traffic"]
        return 200, shown

    def _patch(self, headers: Mapping[str, str], body: Any) -> Answer:
        if headers["content-type"] != "application/merge-patch+json":
            return 415, {"reason": "UnsupportedMediaType"}
        sent = (body.get("metadata") or {}).get("resourceVersion")
        if self.raced() or (sent and sent != self.service["metadata"]["resourceVersion"]):
            return 409, {"reason": "Conflict", "message": "the object has been modified"}
        merged = _merge(self.service, body)
        jsonschema.validate(merged, contract_json(*CRD))
        self.writes.append(body)
        if not self.lies:
            merged["metadata"]["generation"] += 1
            merged["metadata"]["resourceVersion"] = str(int(merged["metadata"]["resourceVersion"]) + 1)
            self.service = merged
            if not self.slow:
                self._reconcile()
        return 200, self.service

    def _reconcile(self) -> None:
        """The newest revision gets the canary's share, the last one rolled out before it the rest."""
        seen = self.predictor
        percent = self.service["spec"]["predictor"].get("canaryTrafficPercent")
        self.service["status"]["observedGeneration"] = self.service["metadata"]["generation"]
        if self.fails:
            self.service["status"]["conditions"] = [
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "RevisionMissing",
                    "message": "no such revision",
                }
            ]
            return
        percent = 100 if percent is None else percent
        if percent < 100:
            seen["latestRolledoutRevision"] = "credit-00006"
        else:
            seen["latestRolledoutRevision"] = "credit-00007"
        seen["traffic"] = [{"revisionName": "credit-00007", "latestRevision": True, "percent": percent}]
        if percent < 100:
            other = {
                "revisionName": "credit-00006",
                "latestRevision": False,
                "percent": 100 - percent,
                "tag": "prev",
            }
            seen["traffic"].append(other)


def _merge(target: Any, patch: Any) -> Any:
    """JSON merge patch. https://www.rfc-editor.org/rfc/rfc7396"""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return copy.deepcopy(merged)


# --- Vertex AI ---------------------------------------------------------------------------------------------
DISCOVERY = ("gcp", "outbound", "vertex_aiplatform_v1.discovery.trimmed.json")
RESOURCE = "projects/acme-ml/locations/europe-west4/endpoints/77"


@dataclass
class Vertex(Cloud):
    """One endpoint with two deployed models; `2002` (version 7) has all traffic. Tokens for a signed statement."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    email: str = "holdfast@acme-ml.iam.gserviceaccount.com"
    etag: int = 1
    split: dict[str, int] = field(default_factory=lambda: {"2002": 100})
    deployed: list[dict[str, Any]] = field(default_factory=list)
    operations: dict[str, tuple[str, str, int]] = field(
        default_factory=dict
    )  #: name → what, model, looks left
    coming: dict[str, Any] = field(default_factory=dict)  #: models being deployed
    signed_in: int = 0

    def __post_init__(self) -> None:
        model = "projects/acme-ml/locations/europe-west4/models/credit"
        self.deployed = [
            {"id": id, "model": model, "modelVersionId": version, "displayName": f"credit-v{version}", "sharedResources": "pool"}
            for id, version in (("1001", "6"), ("2002", "7"))
        ]  # fmt: skip

    @property
    def pem(self) -> str:
        kind = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()

    def sign_in(self, path: str, form: Mapping[str, str]) -> Answer | None:
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        try:
            claims = jwt.decode(
                form["assertion"],
                self.key.public_key(),
                ["RS256"],
                audience=f"{self.url}/token",
                issuer=self.email,
            )
        except jwt.PyJWTError as error:
            return 400, {"error": "invalid_grant", "error_description": str(error)}
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        self.signed_in += 1
        return 200, {"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"}

    def endpoint(self) -> dict[str, Any]:
        return {"name": RESOURCE, "displayName": "credit", "deployedModels": self.deployed, "trafficSplit": self.split,
                "etag": f"e{self.etag}"}  # fmt: skip

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
    ) -> Answer:
        flat, request = published(method, path)
        assert flat, f"Google publishes no {method} {path}"
        if request:
            jsonschema.validate(body, discovered(request))
        if name := next((name for name in self.operations if path == f"/v1/{name}"), ""):
            return 200, self._operation(name)
        if not path.startswith(f"/v1/{RESOURCE}"):
            return 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": f"{path} not found"}}
        match path.rpartition(":")[2]:
            case "undeployModel":
                if self.split.get(body["deployedModelId"]):
                    return 400, {
                        "error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "has traffic"}
                    }
                return self._later(body, "undeploy", body["deployedModelId"])
            case "deployModel":
                if (
                    body["deployedModel"]["id"]
                    in {model["id"] for model in self.deployed} | self.coming.keys()
                ):
                    return 409, {
                        "error": {"code": 409, "status": "ALREADY_EXISTS", "message": "is being deployed"}
                    }
                self.coming[body["deployedModel"]["id"]] = body["deployedModel"]
                return self._later(body, "deploy", body["deployedModel"]["id"])
        return self._patch(query, body) if method == "PATCH" else (200, self.endpoint())

    def _later(self, body: Any, what: str, model: str) -> Answer:
        """A long-running operation; `slow` looks later it is done."""
        name = f"projects/acme-ml/locations/europe-west4/operations/{len(self.operations) + 1}"
        self.writes.append(body)
        self.operations[name] = (what, model, self.slow)
        return 200, self._operation(name)

    def _operation(self, name: str) -> dict[str, Any]:
        what, model, left = self.operations[name]
        self.operations[name] = (what, model, left - 1)
        if left > 0:
            return {"name": name, "done": False}
        if self.fails:
            return {"name": name, "done": True, "error": {"code": 13, "message": "no machine is free"}}
        if not self.lies:
            self.deployed = [one for one in self.deployed if one["id"] != model]
            if what == "deploy" and model in self.coming:
                name, _, version = self.coming[model]["model"].partition("@")
                self.deployed.append({**self.coming.pop(model), "model": name, "modelVersionId": version})
        return {"name": name, "done": True, "response": {}}

    def _patch(self, query: Mapping[str, str], body: Any) -> Answer:
        assert query == {"updateMask": "trafficSplit"}
        if self.raced() or body.get("etag", f"e{self.etag}") != f"e{self.etag}":
            return 409, {"error": {"code": 409, "status": "ABORTED", "message": "etag mismatch"}}
        split = body["trafficSplit"]
        known = {model["id"] for model in self.deployed}
        if sum(split.values()) != 100 or not split.keys() <= known:
            return 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "bad traffic split"}}
        self.writes.append(body)
        if self.lies:
            return 200, {**self.endpoint(), "trafficSplit": split}
        self.split = split
        self.etag += 1
        return 200, self.endpoint()


def published(method: str, path: str) -> tuple[str, str]:
    """The published path that fits, and the schema of its request body (or nothing)."""
    endpoints = contract_json(*DISCOVERY)["resources"]["projects"]["resources"]["locations"]["resources"]
    for resource in endpoints.values():
        for one in resource["methods"].values():
            pattern = re.sub(r"\{\w+\}", "[^/:]+", one["flatPath"])
            if one["httpMethod"] == method and re.fullmatch(pattern, path.lstrip("/")):
                return one["flatPath"], (one.get("request") or {}).get("$ref", "")
    return "", ""


def discovered(name: str) -> dict[str, Any]:
    """A schema of the discovery document as JSON Schema; Google refuses names it does not know, and
    what only Google fills in."""

    def strict(value: Any) -> Any:
        match value:
            case {"$ref": str(target)}:
                return {"$ref": f"#/definitions/{target}"}
            case {"type": "any"}:
                return {}
            case {"properties": dict(properties)}:
                known = {name: strict(one) for name, one in properties.items() if not one.get("readOnly")}
                return {"type": "object", "properties": known, "additionalProperties": False}
            case dict():
                return {
                    key: strict(inner) for key, inner in value.items() if key not in ("description", "format")
                }
            case list():
                return [strict(inner) for inner in value]
            case _:
                return value

    schemas = contract_json(*DISCOVERY)["schemas"]
    definitions = {key: strict(schema) for key, schema in schemas.items()}
    return {"$ref": f"#/definitions/{name}", "definitions": definitions}


# --- Azure ML ----------------------------------------------------------------------------------------------
SWAGGER = "azure/outbound/azureml_online_endpoints_2023-04-01.swagger.trimmed.json"
WORKSPACE = "/subscriptions/0000/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws1/onlineEndpoints"


@dataclass
class Azure(Cloud):
    """One online endpoint, `credit`: green has all traffic, blue is deployed without any."""

    tag: int = 1
    endpoint: dict[str, Any] = field(default_factory=dict)
    wanted: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.endpoint = {
            "id": f"{WORKSPACE}/credit",
            "name": "credit",
            "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
            "location": "westeurope",
            "tags": {"team": "risk"},
            "kind": "Managed",
            "identity": {"type": "SystemAssigned", "principalId": "11111111-1111-1111-1111-111111111111"},
            "properties": {
                "authMode": "Key",
                "description": "Credit decisions",
                "scoringUri": "https://credit.westeurope.inference.ml.azure.com/score",
                "provisioningState": "Succeeded",
                "mirrorTraffic": {},
                "traffic": {"green": 100},
            },
            "systemData": {"createdBy": "ann"},
        }  # fmt: skip

    def traffic(self) -> dict[str, int]:
        found: dict[str, int] = self.endpoint["properties"]["traffic"]
        return found

    def sign_in(self, path: str, form: Mapping[str, str]) -> Answer | None:
        wanted = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s3cr3t", "scope": f"{self.url}/.default"}  # fmt: skip
        if path != "/tenant/oauth2/v2.0/token" or form != wanted:
            return 401, {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret.",
            }
        return 200, {"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"}

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any
    ) -> Answer:
        assert query == {"api-version": "2023-04-01"}
        if path == f"{WORKSPACE}/credit/deployments":
            return 200, {"value": [{"name": name, "location": "westeurope"} for name in ("blue", "green")]}
        if path != f"{WORKSPACE}/credit":
            return 404, {"error": {"code": "ResourceNotFound", "message": f"{path} was not found."}}
        if method == "PUT":
            return self._put(headers, body)
        if self.wanted is not None:
            self.slow -= 1
            if self.slow <= 0:
                self._provision(self.wanted)
        return 200, {**self.endpoint, "etag": f"t{self.tag}"}

    def _put(self, headers: Mapping[str, str], body: Any) -> Answer:
        if self.raced() or headers.get("if-match", f"t{self.tag}") != f"t{self.tag}":
            return 412, {"error": {"code": "PreconditionFailed", "message": "The etag does not match."}}
        definitions = contract_json(*SWAGGER.split("/"))["definitions"]
        jsonschema.validate(body, _azure_schema(definitions))
        read_only = {"scoringUri", "swaggerUri", "provisioningState"} & body["properties"].keys()
        if read_only or sum(body["properties"]["traffic"].values()) != 100:
            return 400, {
                "error": {"code": "BadRequest", "message": f"Read-only or not 100 %: {sorted(read_only)}"}
            }
        self.writes.append(body)
        if not self.lies:
            self.wanted = body
            self.endpoint["properties"]["provisioningState"] = "Updating"
            if not self.slow:
                self._provision(body)
        return 200, {**self.endpoint, "etag": f"t{self.tag}"}

    def _provision(self, body: Mapping[str, Any]) -> None:
        """Everything that the PUT left out is gone."""
        kept = {name: self.endpoint[name] for name in ("id", "name", "type", "systemData")}
        state = "Failed" if self.fails else "Succeeded"
        given = dict(body["properties"])
        if self.fails:
            given["traffic"] = self.traffic()
        uri = {"scoringUri": self.endpoint["properties"]["scoringUri"], "provisioningState": state}
        self.endpoint = {**kept, **body, "properties": {**given, **uri}}
        self.wanted = None
        self.tag += 1


def _azure_schema(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Body of the PUT. What the document says twice, in allOf and as "nothing else", is told apart here."""

    def loose(value: Any) -> Any:
        match value:
            case dict():
                return {
                    key: loose(inner)
                    for key, inner in value.items()
                    if not (key == "additionalProperties" and inner is False)
                    and key not in ("discriminator", "format")
                }
            case list():
                return [loose(inner) for inner in value]
            case _:
                return value

    return {"$ref": "#/definitions/OnlineEndpointTrackedResource", "definitions": loose(definitions)}
