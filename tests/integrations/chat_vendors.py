"""More vendors on paper: chat, paging, status pages and mail, as they answer when all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from integrations.contract import Request, Response
from tests.integrations.wire import answered


def receiver() -> Callable[[Request], Response]:
    """An address that takes everything: a webhook's, a workflow's."""
    return lambda request: answered(202)


def path_of(request: Request) -> str:
    return "/" + request.url.split("://", 1)[-1].split("/", 1)[-1].partition("?")[0]


@dataclass
class Opsgenie:
    """An account that folds alerts by alias and remembers what was done with them."""

    alerts: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, request: Request) -> Response:
        parts = path_of(request).strip("/").split("/")[1:]
        match request.method, parts:
            case "GET", ["alerts"]:
                return answered(200, {"data": []})
            case "POST", ["alerts"]:
                self.alerts.setdefault(request.json["alias"], []).append("create")
            case _, ["alerts", alias, action]:
                self.alerts.setdefault(alias, []).append(action)
            case _:
                raise AssertionError(f"Opsgenie has no {request.method} {request.url}")
        return answered(202, {"result": "Request will be processed", "took": 0.1, "requestId": "r-1"})


@dataclass
class Statuspage:
    """One page with its incidents."""

    incidents: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        parts = path_of(request).partition("/pages/")[2].split("/")[1:]
        self.asked.append((f"{request.method} {'/'.join(parts)}", request.json))
        match request.method, parts:
            case "GET", []:
                return answered(200, {"id": "p1", "name": "Acme"})
            case "GET", ["incidents", "unresolved"]:
                return answered(200, [one for one in self.incidents.values() if one["status"] != "resolved"])
            case "POST", ["incidents"]:
                made = {
                    **request.json["incident"],
                    "id": f"s{len(self.incidents) + 1}",
                    "shortlink": "https://stspg.io/x",
                }
                self.incidents[made["id"]] = made
                return answered(201, made)
            case "PATCH", ["incidents", id]:
                self.incidents.setdefault(id, {"id": id, "status": "investigating"}).update(
                    request.json["incident"]
                )
                return answered(200, self.incidents[id])
        raise AssertionError(f"Statuspage has no {request.method} {request.url}")


@dataclass
class Alertmanager:
    """Silences by id."""

    silences: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        path = path_of(request).partition("/api/v2")[2]
        self.asked.append(f"{request.method} {path}")
        if path == "/status":
            return answered(200, {"versionInfo": {"version": "0.25.0"}})
        if request.method == "POST":
            id = f"00000000-0000-4000-8000-{len(self.silences):012}"
            self.silences[id] = {**request.json, "id": id, "status": {"state": "active"}}
            return answered(200, {"silenceID": id})
        if request.method == "DELETE":
            self.silences[path.rpartition("/")[2]]["status"] = {"state": "expired"}
            return answered(200)
        return answered(200, list(self.silences.values()))


@dataclass
class Grafana:
    """Annotations by number, found by their tags; refuses what its documentation does not name."""

    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        path = path_of(request)
        self.asked.append(f"{request.method} {path}")
        assert request.headers["Authorization"].startswith("Bearer ")
        match request.method, path.removeprefix("/api/annotations").strip("/"):
            case "GET", "":
                assert set(request.params) <= {"tags", "limit", "type", "from", "to", "dashboardUID"}
                found = [one for one in self.annotations.values() if request.params["tags"] in one["tags"]]
                return answered(200, found)
            case "POST", "":
                body = self._checked(request.json)
                number = 1124 + len(self.annotations)
                self.annotations[number] = {"id": number, "timeEnd": body["time"], **body}
                return answered(200, {"message": "Annotation added", "id": number})
            case "PATCH", number:
                if int(number) not in self.annotations:
                    return answered(404, {"message": "Could not find annotation to update"})
                self.annotations[int(number)].update(self._checked({"time": 0, **request.json}, patch=True))
                return answered(200, {"message": "Annotation patched"})
        raise AssertionError(f"Grafana has no {request.method} {path}")

    @staticmethod
    def _checked(body: dict[str, Any], *, patch: bool = False) -> dict[str, Any]:
        kinds = {"time": int, "timeEnd": int, "text": str, "tags": list, "dashboardUID": str, "panelId": int}
        assert {name: type(value) for name, value in body.items()} == {name: kinds[name] for name in body}
        assert body["text"]
        assert all(isinstance(tag, str) for tag in body["tags"])
        return {name: value for name, value in body.items() if not (patch and name == "time")}


@dataclass
class PagerDutyRest:
    """The REST API beside the events: incidents by key, notes, requests for responders."""

    known: dict[str, str] = field(default_factory=lambda: {"INC-7": "P1"})
    any: bool = True  #: also incidents of other keys are there
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        path = path_of(request)
        self.asked.append((f"{request.method} {path}", request.json or dict(request.params)))
        match request.method, path.strip("/").split("/"):
            case "GET", ["incidents"]:
                id = self.known.get(request.params["incident_key"], "P9" if self.any else "")
                return answered(200, {"incidents": [{"id": id}] if id else []})
            case "GET", ["users"]:
                return answered(200, {"users": [{"id": "U7", "email": "holdfast@example.org"}]})
            case "POST", ["incidents", _, "notes"]:
                return answered(200, {"note": {"id": "N1"}})
            case "POST", ["incidents", _, "responder_requests"]:
                return answered(200, {"responder_request": {}})
        raise AssertionError(f"PagerDuty has no {request.method} {path}")


def mail_server() -> Callable[[Request], Response]:
    return lambda request: answered(200, {"code": 250, "message": "OK", "refused": {}})
