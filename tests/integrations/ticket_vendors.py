"""Tickets and documents on paper: how the other side of those providers answers when all is well."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from integrations.contract import Request, Response
from tests.integrations.wire import answered


def _path(request: Request, root: str) -> list[str]:
    return request.url.partition(root)[2].strip("/").split("/")


@dataclass
class Trello:
    """A board with lists; cards keep comments and one checklist."""

    names: tuple[str, ...] = ("Incoming", "Doing", "Done")
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    me: str = "53582e2da0fac5676a714200"

    def __call__(self, request: Request) -> Response:
        sent = dict(request.params)
        match request.method, _path(request, "/1/"):
            case "GET", ["members", "me"]:
                return answered(200, {"id": self.me, "fullName": "Holdfast Bot"})
            case "GET", ["boards", _, "lists"]:
                return answered(200, [self._list(number) for number in range(len(self.names))])
            case "POST", ["cards"]:
                number = f"{len(self.cards) + 1:024x}"
                card = {
                    "id": number,
                    "name": sent["name"],
                    "idList": sent["idList"],
                    "comments": [],
                    "items": [],
                }
                self.cards[number] = {
                    **card,
                    "desc": sent["desc"],
                    "shortUrl": f"https://trello.com/c/{number[-8:]}",
                }
                return answered(200, self.cards[number])
            case "POST", ["checklists", owner, "checkItems"]:
                state = "complete" if sent["checked"] == "true" else "incomplete"
                items = self.cards[owner]["items"]
                items.append({"id": f"i{len(items)}", "name": sent["name"], "state": state})
                return answered(200, items[-1])
            case method, ["cards", number, *rest] if number in self.cards:
                return self._card(method, rest, self.cards[number], sent)
            case _, ["cards", *_]:
                return Response(404, {}, "The requested resource was not found.")
        raise AssertionError(f"Trello has no {request.method} {request.url}")

    def _list(self, number: int) -> dict[str, Any]:
        mine = [card for card in self.cards.values() if card["idList"] == f"{number:024x}"]
        shown = [{"id": one["id"], "name": one["name"], "shortUrl": one["shortUrl"]} for one in mine]
        return {"id": f"{number:024x}", "name": self.names[number], "cards": shown}

    def _card(self, method: str, rest: list[str], card: dict[str, Any], sent: dict[str, str]) -> Response:
        match method, rest:
            case "PUT", []:
                card |= {name: value for name, value in sent.items() if name in ("idList", "name")}
                return answered(200, card)
            case "PUT", ["checkItem", item]:
                found = next(one for one in card["items"] if one["id"] == item)
                found["state"] = sent["state"]
                return answered(200, found)
            case "GET", ["actions"]:
                return answered(200, card["comments"][::-1])
            case "POST", ["actions", "comments"]:
                card["comments"].append({"id": f"a{len(card['comments'])}", "data": {"text": sent["text"]}})
                return answered(200, card["comments"][-1])
            case "GET", ["checklists"]:
                named = [card["checklist"]] if "checklist" in card else []
                there = [{"id": card["id"], "name": name, "checkItems": card["items"]} for name in named]
                return answered(200, there)
            case "POST", ["checklists"]:
                card["checklist"] = sent["name"]
                return answered(200, {"id": card["id"], "name": sent["name"], "checkItems": []})
        raise AssertionError(f"a card of Trello has no {method} {rest}")


@dataclass
class ServiceNow:
    """An instance with its incident table and the journal of work notes, which some accounts may not read."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    reads_journal: bool = True

    def __call__(self, request: Request) -> Response:
        query = request.params.get("sysparm_query", "")
        match request.method, _path(request, "/api/now/table/"):
            case "GET", ["sys_journal_field"]:
                if not self.reads_journal:
                    error = {"message": "User Not Authorized", "detail": "Failed API level ACL Validation"}
                    return answered(403, {"error": error, "status": "failure"})
                element, _, wanted = (part.split("=")[-1] for part in query.split("^"))
                notes = self.records.get(element, {}).get("notes", [])
                hits = [note for note in notes if wanted.removeprefix("valueLIKE") in note]
                return answered(200, {"result": [{"sys_id": "j"} for _ in hits]})
            case "GET", [_]:
                hits = [r for r in self.records.values() if f"correlation_id={r['correlation_id']}^" in query]
                return answered(200, {"result": hits})
            case "POST", [_]:
                number = f"{len(self.records) + 1:032x}"
                self.records[number] = {
                    **request.json,
                    "sys_id": number,
                    "number": f"INC00{number[-2:]}",
                    "notes": [],
                }
                return answered(201, {"result": self.records[number]})
            case "PATCH", [_, number]:
                record = self.records[number]
                record |= {name: value for name, value in request.json.items() if name != "work_notes"}
                record["notes"] += [request.json["work_notes"]] if "work_notes" in request.json else []
                return answered(200, {"result": record})
        raise AssertionError(f"ServiceNow has no {request.method} {request.url}")


@dataclass
class GitHub:
    """A repository with issues, their labels and comments."""

    issues: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        if request.url.endswith("/user"):
            return answered(200, {"login": "holdfast-bot"})
        at = re.search(r"/repos/([\w.-]+(?:/[\w.-]+)?)/issues(?:/(\d+))?(?:/(\w+))?$", request.url)
        assert at is not None, request.url
        if at[2] is None and request.method == "GET":
            return answered(200, self.issues[::-1])
        if at[2] is None:
            number = len(self.issues) + 1
            url = f"https://github.com/{at[1]}/issues/{number}"
            labels = [{"name": name} for name in request.json["labels"]]
            made = {
                **request.json,
                "labels": labels,
                "number": number,
                "html_url": url,
                "state": "open",
                "comments": [],
            }
            self.issues.append(made)
            return answered(201, made)
        issue = next((one for one in self.issues if str(one["number"]) == at[2]), None)
        if issue is None:
            return answered(404, {"message": "Not Found"})
        match request.method, at[3]:
            case "GET", None:
                return answered(200, issue)
            case "PATCH", None:
                issue |= request.json
                return answered(200, issue)
            case "GET", "comments" | "labels":
                return answered(200, issue[at[3]])
            case "POST", "comments":
                issue["comments"].append({**request.json, "id": 9000 + len(issue["comments"])})
                return answered(201, issue["comments"][-1])
            case "PUT", "labels":
                issue["labels"] = [{"name": name} for name in request.json["labels"]]
                return answered(200, issue["labels"])
        raise AssertionError(f"GitHub has no {request.method} {request.url}")


@dataclass
class Confluence:
    """A site with one space, which refuses a second page of the same title and versions out of order."""

    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    spaces: tuple[str, ...] = ("OPS",)

    def __call__(self, request: Request) -> Response:
        match request.method, _path(request, "/wiki/api/v2/"):
            case "GET", ["spaces"]:
                found = [{"id": "65", "key": key, "name": "Operations"} for key in self.spaces]
                return answered(200, {"results": found})
            case "GET", ["pages"]:
                wanted = {
                    ("id", "id"): request.params.get("id"),
                    ("title", "title"): request.params.get("title"),
                }
                hits = [
                    page
                    for page in self.pages.values()
                    if all(value in (None, page[name]) for (name, _), value in wanted.items())
                ]
                return answered(200, {"results": hits})
            case "POST", ["pages"]:
                if any(page["title"] == request.json["title"] for page in self.pages.values()):
                    errors = [{"status": 400, "title": "A page with this title already exists"}]
                    return answered(400, {"errors": errors})
                number = str(100 + len(self.pages))
                self.pages[number] = self._kept(number, request.json, {"number": 1, "message": ""})
                return answered(200, self.pages[number])
            case "PUT", ["pages", number]:
                page, version = self.pages[number], request.json["version"]
                if version["number"] != page["version"]["number"] + 1:
                    return answered(409, {"errors": [{"status": 409, "title": "Version conflict"}]})
                self.pages[number] = self._kept(number, request.json, version)
                return answered(200, self.pages[number])
        raise AssertionError(f"Confluence has no {request.method} {request.url}")

    def _kept(self, number: str, sent: dict[str, Any], version: dict[str, Any]) -> dict[str, Any]:
        links = {"webui": f"/spaces/OPS/pages/{number}"}
        body = {"storage": sent["body"]}
        return {"id": number, "title": sent["title"], "version": version, "body": body, "_links": links}


@dataclass
class Notion:
    """A workspace with one parent page or data source; pages hold blocks."""

    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    bot: str = "b0b0"

    def __call__(self, request: Request) -> Response:
        match request.method, _path(request, "/v1/"):
            case "GET", ["users", "me"]:
                return answered(200, {"id": self.bot, "name": "Holdfast"})
            case "GET", ["pages" | "data_sources", _]:
                return answered(200, {"id": "p", "url": "https://www.notion.so/p"})
            case "POST", ["data_sources", _, "query"]:
                wanted = request.json["filter"]["title"]["equals"]
                return answered(
                    200, {"results": [one for one in self.pages.values() if one["title"] == wanted]}
                )
            case "GET", ["blocks", _, "children"]:
                shown = [{**one, "child_page": {"title": one["title"]}} for one in self.pages.values()]
                return answered(200, {"results": shown, "next_cursor": None})
            case "POST", ["pages"]:
                number = str(UUID(int=len(self.pages) + 1))
                named = next(iter(request.json["properties"].values()))["title"][0]["text"]["content"]
                url, by = f"https://www.notion.so/{number}", {"object": "user", "id": self.bot}
                self.pages[number] = {
                    "id": number,
                    "url": url,
                    "title": named,
                    "created_by": by,
                    "blocks": [],
                }
                return answered(200, self.pages[number])
            case "PATCH", ["pages", number]:
                if number not in self.pages:
                    return answered(404, {"object": "error", "code": "object_not_found", "message": "Gone"})
                if request.json.get("erase_content"):
                    self.pages[number]["blocks"] = []
                return answered(200, self.pages[number])
            case "PATCH", ["blocks", number, "children"]:
                self.pages[number]["blocks"] += request.json["children"]
                return answered(200, {"object": "list", "results": []})
        raise AssertionError(f"Notion has no {request.method} {request.url}")
