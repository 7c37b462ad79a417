"""What the demo speaks to instead of real vendors: a model gateway and recorders that answer like Slack, PagerDuty and
Jira, mounted under /demo/ of the same server.

Only an installation whose data folder was made by `manage.py demo` has them: `demo.json` there holds the token that
every call needs. What they keep (traffic, pipelines, issues) is in `demo-gateway.json` beside it.
"""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
#: status, body, further headers
Answer = tuple[int, Any, dict[str, str]]

PREFIX = "/demo/"
MARKER, STATE = "demo.json", "demo-gateway.json"
HERE = "127.0.0.1/32"
MOST_BYTES = 1 << 20
NORMAL = {
    "training": "running",
    "promotion": "automatic",
    "ingestion": "open",
    "blocked_sources": [],
    "quarantined": [],
}
STATUSES = {"11": ("To Do", "new"), "21": ("In Progress", "indeterminate"), "31": ("Done", "done")}


def marker(folder: Path) -> dict[str, Any] | None:
    """What the demo left in the data folder, or None in an installation without it."""
    try:
        found: dict[str, Any] = json.loads((folder / MARKER).read_text())
    except FileNotFoundError:
        return None
    return found


def mark(folder: Path, values: dict[str, Any]) -> None:
    _write(folder / MARKER, values)


def allow_here() -> None:
    """Let this process reach its own machine, unless the operator said which private networks it may reach."""
    if not settings.HOLDFAST_EGRESS_ALLOW:
        settings.HOLDFAST_EGRESS_ALLOW = [HERE]


def mounted(app: Application) -> Application:
    """`app` with the recorders in front of it when the data folder holds the demo; else `app` as it is."""
    known = marker(settings.HOLDFAST_DATA)
    if known is None:
        return app
    allow_here()
    recorders = Recorders(settings.HOLDFAST_DATA, known["token"])

    def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        inside = environ.get("PATH_INFO", "").startswith(PREFIX)
        return (recorders if inside else app)(environ, start_response)

    return application


class Recorders:
    """The WSGI application under /demo/."""

    def __init__(self, folder: Path, token: str) -> None:
        self.path, self.token = folder / STATE, token
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            size = int(environ.get("CONTENT_LENGTH") or 0)
            raw = environ["wsgi.input"].read(size) if 0 < size <= MOST_BYTES else b""
            sent = json.loads(raw) if raw else {}
        except ValueError:
            answer: Answer = 400, {"error": "The body is not JSON."}, {}
        else:
            answer = self._answer(environ, sent)
        status, body, headers = answer
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [("Content-Type", kind), ("Content-Length", str(len(content))), *headers.items()],
        )
        return [content]

    def _answer(self, environ: Environ, sent: Any) -> Answer:
        method = environ["REQUEST_METHOD"]
        match [unquote(part) for part in environ["PATH_INFO"][len(PREFIX) :].strip("/").split("/")]:
            case ["slack", "archives", *_] | ["jira", "browse", *_] if method == "GET":
                return (
                    200,
                    "A recorder of the Holdfast demo. At the real vendor this would be the message or issue.\n",
                    {},
                )
            case _ if not isinstance(sent, dict):
                return 400, {"error": "Send a JSON object."}, {}
            case ["pagerduty", "v2", "enqueue"] if sent.get("routing_key") == self.token:
                return (
                    202,
                    {"status": "success", "message": "Event processed", "dedup_key": sent.get("dedup_key")},
                    {},
                )
            case ["busy", *_]:
                return 503, {"status": "busy", "message": "Scheduled maintenance"}, {"Retry-After": "900"}
            case _ if not self._knows(environ):
                return 401, {"error": "not_authed", "ok": False}, {}
            case ["gateway", "systems", slug, ("traffic" | "pipeline") as what]:
                return self._gateway(method, slug, what, sent)
            case ["slack", "api", call]:
                return self._slack(environ, call, sent)
            case ["jira", "rest", "api", "3", *rest]:
                return self._jira(method, rest, sent)
        return 404, {"errorMessages": ["No such address at the demo's recorders."]}, {}

    def _knows(self, environ: Environ) -> bool:
        scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "basic":
            value = base64.b64decode(value + "===").decode("utf-8", "replace").rpartition(":")[2]
        return hmac.compare_digest(value.encode(), self.token.encode())

    def _gateway(self, method: str, slug: str, what: str, sent: dict[str, Any]) -> Answer:
        with self._state(keep=method == "PUT") as state:
            known = state.setdefault(what, {})
            if slug not in known:
                return 404, {"error": f"No system {slug}."}, {}
            if method == "PUT":
                known[slug] |= sent
                if what == "traffic" and "version" in sent and "weights" not in sent:
                    known[slug]["weights"] = {sent["version"]: 100}
            elif method != "GET":
                return 405, {"error": "GET or PUT."}, {"Allow": "GET, PUT"}
            return 200, known[slug], {}

    def _slack(self, environ: Environ, call: str, sent: dict[str, Any]) -> Answer:
        match call:
            case "chat.postMessage" if sent.get("channel") == "moved-away":
                return 200, {"ok": False, "error": "channel_not_found"}, {}
            case "chat.postMessage":
                with self._state(keep=True) as state:
                    state["messages"] = state.get("messages", 0) + 1
                    ts = f"{int(time.time())}.{state['messages']:06}"
                return 200, {"ok": True, "channel": sent.get("channel"), "ts": ts}, {}
            case "chat.update":
                return 200, {"ok": True, "channel": sent.get("channel"), "ts": sent.get("ts")}, {}
            case "chat.getPermalink":
                base = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{PREFIX}slack/archives"
                return 200, {"ok": True, "permalink": f"{base}/demo"}, {}
        return 200, {"ok": False, "error": "unknown_method"}, {}

    def _jira(self, method: str, rest: list[str], sent: dict[str, Any]) -> Answer:
        with self._state(keep=method == "POST") as state:
            issues = state.setdefault("issues", {})
            match [method, *rest]:
                case ["POST", "search", "jql"]:
                    found = [
                        k
                        for k, i in issues.items()
                        if any(f'"{label}"' in sent.get("jql", "") for label in i["labels"])
                    ]
                    return 200, {"issues": [{"key": key} for key in found]}, {}
                case ["POST", "issue"]:
                    key = f"{sent['fields']['project']['key']}-{len(issues) + 1}"
                    fields = sent["fields"]
                    issues[key] = {
                        "labels": fields.get("labels", []), "status": "11", "comments": [],
                        "summary": fields.get("summary", ""), "parent": fields.get("parent", {}).get("key", ""),
                    }  # fmt: skip
                    return 201, {"id": str(10_000 + len(issues)), "key": key}, {}
                case ["GET", "myself"]:
                    return 200, {"displayName": "Demo recorder"}, {}
                case ["GET", "issue", "createmeta", *_]:
                    return 200, {"issueTypes": [{"name": "Task", "subtask": False}]}, {}
                case [_, "issue", key, *_] if key not in issues:
                    return (
                        404,
                        {"errorMessages": ["Issue does not exist or you do not have permission to see it."]},
                        {},
                    )
                case ["POST", "issue", _, "remotelink"]:
                    return 201, {"id": 1}, {}
                case ["GET", "issue", key, "comment"]:
                    return 200, {"comments": issues[key]["comments"]}, {}
                case ["POST", "issue", key, "comment"]:
                    issues[key]["comments"].append({"properties": sent.get("properties", [])})
                    return 201, {"id": str(len(issues[key]["comments"]))}, {}
                case ["GET", "issue", key, "transitions"]:
                    return (
                        200,
                        {
                            "transitions": [
                                {"id": i, "name": n, "to": _status(i)} for i, (n, _) in STATUSES.items()
                            ]
                        },
                        {},
                    )
                case ["POST", "issue", key, "transitions"]:
                    issues[key]["status"] = sent["transition"]["id"]
                    return 204, "", {}
                case ["PUT", "issue", _, *_]:
                    return 204, "", {}
                case ["GET", "user", "search"]:
                    return 200, [], {}
                case ["GET", "issue", key]:
                    below = [
                        {"key": name, "fields": {"summary": one["summary"]}}
                        for name, one in issues.items()
                        if one["parent"] == key
                    ]
                    fields = {"status": _status(issues[key]["status"]), "subtasks": below}
                    return 200, {"key": key, "fields": fields}, {}
        return 404, {"errorMessages": ["No such address at the demo's recorders."]}, {}

    @contextmanager
    def _state(self, *, keep: bool) -> Iterator[dict[str, Any]]:
        with self._lock:
            state = json.loads(self.path.read_text()) if self.path.exists() else {}
            yield state
            if keep:
                _write(self.path, state)


def set_up(folder: Path, traffic: dict[str, dict[str, Any]]) -> None:
    """Start the gateway with this traffic per system, all pipelines running, no messages and no issues."""
    _write(folder / STATE, {"traffic": traffic, "pipeline": {slug: dict(NORMAL) for slug in traffic}})


@contextmanager
def serving(app: Application, base: str) -> Iterator[str]:
    """Serve `app` on this machine while the demo is loaded; gives the address.

    It is `base`, where the installation listens later, when that is free: what is recorded reads as it will then.
    """
    asked = urlsplit(base)
    own = asked.hostname in ("127.0.0.1", "localhost") and asked.port
    try:
        server = make_server("127.0.0.1", own or 0, app, _Server, _Silent)
    except OSError:
        server = make_server("127.0.0.1", 0, app, _Server, _Silent)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Calls are kept with the deliveries; the terminal stays quiet."""

    def address_string(self) -> str:
        return str(self.client_address[0])


def _status(id: str) -> dict[str, Any]:
    name, category = STATUSES[id]
    return {"name": name, "statusCategory": {"key": category}}


def _write(path: Path, values: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(values, indent=1))
    fresh.chmod(0o600)
    fresh.replace(path)
