"""Vendors on paper: how each outbound provider's other side answers when all is well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.contract import Request, Response
from tests.integrations import chat_vendors, ticket_vendors
from tests.integrations.wire import answered

Vendor = Callable[[Request], Response]


def path_of(request: Request) -> str:
    return "/" + request.url.split("://", 1)[-1].split("/", 1)[-1]


@dataclass
class Slack:
    """A workspace that remembers its messages; `errors` are the words it refuses methods with."""

    errors: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    room: str = ""  #: the name of a channel that is there already

    def __call__(self, request: Request) -> Response:
        method = path_of(request).removeprefix("/api/")
        self.asked.append((method, request.json or dict(request.params)))
        if method in self.errors:
            return answered(200, {"ok": False, "error": self.errors[method]})
        if method in ("conversations.create", "users.lookupByEmail", "conversations.list"):
            found = {"channel": {"id": "C9"}, "user": {"id": "U0BOB"}}
            return answered(200, {"ok": True, **found, "channels": [{"id": "C8", "name": self.room}]})
        if method == "chat.getPermalink":
            return answered(200, {"ok": True, "permalink": "https://acme.slack.com/archives/C1/p1"})
        return answered(200, {"ok": True, "channel": "C1", "ts": f"1700000000.00000{len(self.asked)}"})

    def posts(self) -> list[Any]:
        return [arguments for method, arguments in self.asked if method == "chat.postMessage"]


@dataclass
class PagerDuty:
    """A service that folds events by dedup_key."""

    open: set[str] = field(default_factory=set)
    pages: int = 0
    rest: chat_vendors.PagerDutyRest = field(default_factory=chat_vendors.PagerDutyRest)

    def __call__(self, request: Request) -> Response:
        if "/v2/" not in request.url:
            return self.rest(request)
        event = request.json
        key = event.get("dedup_key", "")
        if event.get("event_action") == "trigger" and key not in self.open:
            self.open.add(key)
            self.pages += 1
        if event.get("event_action") == "resolve":
            self.open.discard(key)
        return answered(202, {"status": "success", "message": "Event processed", "dedup_key": key})


@dataclass
class Jira:
    """A site with one project: keeps issues, comments and their properties, and a three-step workflow.

    `indexed` off is search lagging behind; `shows_properties` off is an older comment view.
    """

    issues: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexed: bool = True
    shows_properties: bool = True
    offers: tuple[str, ...] = ("new", "indeterminate", "done")
    links: Response = field(default_factory=lambda: answered(201, {"id": 1}))
    people: tuple[dict[str, str], ...] = ({"id": "5b10", "mail": "ann@example.org"},)

    def __call__(self, request: Request) -> Response:
        parts = path_of(request).removeprefix("/rest/api/3/").split("/")
        match request.method, parts:
            case "GET", ["myself"]:
                return answered(200, {"displayName": "Holdfast Bot"})
            case "GET", ["issue", "createmeta", _, "issuetypes"]:
                return answered(200, {"issueTypes": [{"name": "Task"}, {"name": "Bug"}]})
            case "POST", ["search", "jql"]:
                return answered(200, {"issues": self._search(request.json["jql"]), "isLast": True})
            case "POST", ["issue"]:
                key = f"ML-{len(self.issues) + 1}"
                self.issues[key] = {**request.json, "comments": [], "category": "new", "moves": []}
                return answered(201, {"id": "10000", "key": key})
            case "GET", ["user", "search"]:
                found = [one for one in self.people if request.params["query"] in one.values()]
                return answered(200, [{"accountId": one["id"], "active": True} for one in found])
        issue = self.issues.get(parts[1])
        if issue is None:
            return answered(404, {"errorMessages": ["Issue does not exist"], "errors": {}})
        match request.method, parts[2:]:
            case "GET", []:
                status = {"name": issue["category"], "statusCategory": {"key": issue["category"]}}
                children = [
                    k for k, i in self.issues.items() if i["fields"].get("parent") == {"key": parts[1]}
                ]
                below = [
                    {"key": k, "fields": {"summary": self.issues[k]["fields"]["summary"]}} for k in children
                ]
                return answered(200, {"fields": {"status": status, "subtasks": below}})
            case "PUT", [] | ["assignee"]:
                issue["changes"] = [*issue.get("changes", ()), request.json]
                return answered(204)
            case "POST", ["remotelink"]:
                return self.links
            case "GET", ["comment"]:
                hidden = () if self.shows_properties else ("properties",)
                kept = [{k: v for k, v in c.items() if k not in hidden} for c in issue["comments"]]
                return answered(200, {"comments": kept})
            case "POST", ["comment"]:
                issue["comments"].append({**request.json, "id": f"1004{len(issue['comments'])}"})
                return answered(201, {"id": issue["comments"][-1]["id"]})
            case "GET", ["transitions"]:
                ways = [
                    {"id": str(n), "to": {"name": to, "statusCategory": {"key": to}}, "hasScreen": False}
                    for n, to in enumerate(self.offers)
                ]
                return answered(200, {"transitions": ways})
            case "POST", ["transitions"]:
                issue["category"] = self.offers[int(request.json["transition"]["id"])]
                issue["moves"].append(issue["category"])
                return answered(204)
        raise AssertionError(f"Jira has no {request.method} {request.url}")

    def _search(self, jql: str) -> list[dict[str, Any]]:
        found = [k for k, i in self.issues.items() if f'labels = "{i["fields"]["labels"][0]}"' in jql]
        return [{"key": key} for key in found] if self.indexed else []


#: One for every outbound provider on the shelf: the contract suite speaks to them.
VENDORS: dict[str, Callable[[], Vendor]] = {
    "alertmanager": chat_vendors.Alertmanager,
    "confluence": ticket_vendors.Confluence,
    "email": chat_vendors.mail_server,
    "github": ticket_vendors.GitHub,
    "grafana": chat_vendors.Grafana,
    "jira": Jira,
    "notion": ticket_vendors.Notion,
    "opsgenie": chat_vendors.Opsgenie,
    "pagerduty": PagerDuty,
    "servicenow": ticket_vendors.ServiceNow,
    "slack": Slack,
    "statuspage": chat_vendors.Statuspage,
    "teams": chat_vendors.receiver,
    "trello": lambda: ticket_vendors.Trello(("list-x", "Doing", "Done")),
    "webhook": chat_vendors.receiver,
}
