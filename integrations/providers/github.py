"""GitHub: deployments and releases as changes, failures and security alerts as alerts, issues of incidents both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from incidents.intake.signal import Status
from integrations import github_issues, normalise
from integrations.authenticity import require_hmac
from integrations.contract import (
    Announcement,
    Change,
    Conversation,
    Example,
    Field,
    Inbound,
    Instruction,
    Said,
    Unreadable,
)
from integrations.listening import FORM, Listening, entries, mapping
from integrations.normalise import first, text
from integrations.tickets import CARRIES

_CONCLUSIONS: dict[str, Status] = {
    **dict.fromkeys(("failure", "timed_out", "startup_failure"), "firing"),
    "success": "resolved",
}
_DEPLOYED: dict[str, Status] = {"success": "resolved", "failure": "firing", "error": "firing"}
#: Security alerts: what they are about, and which moves open and end them.
_ALERTS = {
    "dependabot_alert": ("SUPPLY", "Vulnerable dependency"),
    "code_scanning_alert": (None, "Code scanning"),
    "secret_scanning_alert": ("LEAK", "Leaked secret"),
}
_OPENED = frozenset({"created", "reopened", "reintroduced", "reopened_by_user", "appeared_in_branch"})
_ENDED = frozenset({"fixed", "dismissed", "resolved", "auto_dismissed", "closed_by_user", "revoked"})
#: Our own tickets and comments carry the key of the incident in a remark that GitHub does not show.
_MARK = re.compile(r"<!--\s*holdfast[: ]\s*(?:incident[=: ]\s*)?(INC-\d{1,17})", re.I)
_OWN_COMMENT = re.compile(r"<!--\s*holdfast", re.I)
_KEY = re.compile(r"\b(INC-\d{1,17})\b")


class GitHub(Listening):
    """Only what concerns running systems is read; pushes, reviews and stars say nothing."""

    title = "GitHub"
    docs = "https://docs.github.com/webhooks/webhook-events-and-payloads"
    summary = "Deployments, releases, failed workflows, security alerts; one issue per incident, and what people do with it."
    outbound = True
    carries = CARRIES
    #: 80 requests a minute that create content; one conversation creates at most one thing and reads two.
    rate = (80, 60.0)
    content_types = ("application/json", FORM)
    fields = (
        Field(
            "secret",
            "Webhook secret",
            "The secret entered at the webhook. Two, separated by a comma, while it is replaced.",
            secret=True,
            required=False,
        ),
        Field("system", "AI system", "What the repositories build; without it their name.", required=False),
        Field(
            "branches",
            "Branches",
            "Whose workflows matter, separated by commas. Empty: the default branch of the repository.",
            required=False,
        ),
        Field(
            "declare_label",
            "Label that declares",
            "An issue with this label declares an incident; empty: none does.",
            required=False,
        ),
        Field(
            "token",
            "Token",
            "When incidents shall have issues: a token that may read and write issues of the repository.",
            secret=True,
            required=False,
        ),
        Field("repository", "Repository", "owner/name, where issues are opened.", required=False),
        Field(
            "labels",
            "Labels",
            "Of our issues, separated by commas; by the first of them they are found again.",
            required=False,
            default="incident",
        ),
        Field(
            "account",
            "Login",
            "Of the token's account: what it does comes back and is passed over. The connection's test names it.",
            required=False,
        ),
        Field(
            "base_url",
            "API address",
            "https://host/api/v3 for GitHub Enterprise Server.",
            kind="url",
            required=False,
            default=github_issues.API,
        ),
    )
    proved_by = ("secret",)
    idempotency = (
        "X-GitHub-Delivery is the same when a delivery is repeated; it is stored once. GitHub has no key for creating: "
        "issues and comments carry a hidden mark, by which they are looked up before they are written."
    )
    limits = (
        "80 requests a minute that create content, told by 403 or 429; title 256, body 65,536 characters. GitHub repeats no delivery by itself: use Redeliver at the webhook. Workflows of other branches than the "
        "named ones change nothing. https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries"
    )
    examples = (
        Example(
            "deployed",
            b'{"action":"created","deployment_status":{"id":1,"state":"success","environment":"production","created_at":'
            b'"2026-02-03T04:05:06Z","target_url":"https://ci.example.org/1"},"deployment":{"id":2,"sha":"f95f852bd8fc","ref":'
            b'"v9","environment":"production","payload":{"model":"churn","version":"9"}},"repository":{"full_name":"acme/churn",'
            b'"name":"churn","default_branch":"main"},"sender":{"login":"ann"}}',
            {"content-type": "application/json", "x-github-event": "deployment_status"},
            others=1,
        ),
        Example(
            "workflow failed",
            b'{"action":"completed","workflow_run":{"id":5,"name":"train","workflow_id":3,"head_branch":"main","head_sha":"abc",'
            b'"conclusion":"failure","run_number":9,"html_url":"https://github.com/acme/churn/actions/runs/5","updated_at":'
            b'"2026-02-03T04:05:06Z"},"repository":{"full_name":"acme/churn","name":"churn","default_branch":"main"}}',
            {"content-type": "application/json", "x-github-event": "workflow_run"},
        ),
        Example(
            "comment",
            b'{"action":"created","issue":{"number":4,"title":"[INC-7] Drift"},"comment":{"id":8,"body":"On it.",'
            b'"created_at":"2026-02-03T04:05:06Z"},"repository":{"full_name":"acme/churn"},"sender":{"login":"ann","type":"User"}}',
            {"content-type": "application/json", "x-github-event": "issue_comment"},
            alerts=0,
            others=1,
        ),
    )  # fmt: skip

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries"""
        if not settings.get("secret"):
            return
        scheme, _, signature = inbound.headers.get("x-hub-signature-256", "").partition("=")
        offered = [signature] if scheme == "sha256" else []
        require_hmac(inbound.body, offered, settings["secret"], "X-Hub-Signature-256")

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        repository = text(settings.get("repository")).strip()
        if (repository or settings.get("token")) and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            return {"repository": "Write owner/name, as in the address of the repository."}
        return {}

    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        """Many connections only listen: without a token nothing is sent."""
        return kind in self.carries and bool(settings.get("token"))

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        return github_issues.compose(what, settings, link)

    def delivery_key(self, inbound: Inbound) -> str:
        return inbound.headers.get("x-github-delivery", "")

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        message = mapping(body)
        if not message:
            raise Unreadable("This is no message of a GitHub webhook.")
        kind = inbound.headers.get("x-github-event", "") or _kind(message)
        if not kind:
            raise Unreadable(
                "The header X-GitHub-Event is missing: enter this address as a webhook of GitHub."
            )
        repository = mapping(message.get("repository"))
        where = _Where(repository, settings, inbound)
        match kind:
            case "deployment_status":
                return _deployment(message, where)
            case "workflow_run":
                return _workflow(message, where)
            case "release" | "registry_package" | "package":
                return _published(kind, message, where)
            case "issues" | "issue_comment":
                return _issue(kind, message, where)
            case _ if kind in _ALERTS:
                return _security(kind, message, where)
        return []


class _Where:
    """The repository of a message and what the connection says about it."""

    def __init__(self, repository: Mapping[str, Any], settings: Mapping[str, Any], inbound: Inbound):
        self.inbound = inbound
        self.name = text(first(repository, "full_name", "name"))
        self.system = text(settings.get("system")) or text(repository.get("name"))
        named = [one.strip() for one in text(settings.get("branches")).split(",") if one.strip()]
        self.branches = named or [text(repository.get("default_branch")) or "main"]
        self.declare_label = text(settings.get("declare_label")).lower()
        self.account = text(settings.get("account")).strip().lower()
        self.delivery = inbound.headers.get("x-github-delivery", "")

    def at(self, value: Any) -> datetime:
        return normalise.moment(value) or self.inbound.received_at


def _kind(message: Mapping[str, Any]) -> str:
    """The event of a message whose header was lost on the way."""
    names = ("deployment_status", "workflow_run", "comment", "issue", "release", "zen")
    found = next((name for name in names if name in message), "")
    return {"comment": "issue_comment", "issue": "issues", "zen": "ping"}.get(found, found)


def _deployment(message: Mapping[str, Any], where: _Where) -> list[Said]:
    status, deployment = mapping(message.get("deployment_status")), mapping(message.get("deployment"))
    state = text(status.get("state")).lower()
    became = _DEPLOYED.get(state)
    if became is None:
        return []  # pending, queued, in progress, inactive
    payload = mapping(deployment.get("payload"))
    system = text(first(payload, "system", "model")) or where.system
    version = text(first(payload, "version", "model_version")) or text(deployment.get("sha"), 12).rstrip("…")
    environment = text(first(status, "environment") or deployment.get("environment"))
    at = where.at(first(status, "created_at", "updated_at"))
    url = next((u for _, u in normalise.links(("", first(status, "target_url", "log_url")))), "")
    title = f"Deployment of {where.name} {text(deployment.get('ref'))} to {environment}: {state}"
    labels = {"repository": where.name, **({"env": _env(environment)} if environment else {})}
    said: list[Said] = [
        normalise.signal(
            where.inbound, "github", status=became, title=title, family="INTEG", system=system, version=version,
            fingerprint=normalise.fingerprint("deployment", where.name, environment, text(deployment.get("task"))),
            description=status.get("description") or "", labels={**labels, "alertname": "deployment"}, observed_at=at,
            starts_at=at if became == "firing" else None, ends_at=at if became == "resolved" else None,
            links=normalise.links(("Deployment", url)), delivery_key=where.delivery,
        )
    ]  # fmt: skip
    if became == "resolved":
        key = f"deployment {text(deployment.get('id'))} {text(status.get('id'))}"
        by = text(mapping(first(status, "creator") or message.get("sender")).get("login"))
        said.append(Change(key, "deploy", title[:300], at, system[:200], version[:120], by, url, labels,
                           {"sha": text(deployment.get("sha"))}))  # fmt: skip
    return said


def _env(environment: str) -> str:
    """GitHub's usual name for what is called prod here."""
    return "prod" if environment.lower() == "production" else environment


def _workflow(message: Mapping[str, Any], where: _Where) -> list[Said]:
    run = mapping(message.get("workflow_run"))
    status = _CONCLUSIONS.get(text(run.get("conclusion")).lower())
    branch = text(run.get("head_branch"))
    if text(message.get("action")) != "completed" or status is None or branch not in where.branches:
        return []
    name = (
        text(run.get("name")) or text(mapping(message.get("workflow")).get("name")) or text(run.get("path"))
    )
    at = where.at(first(run, "updated_at", "created_at"))
    return [
        normalise.signal(
            where.inbound, "github", status=status,
            title=f"Workflow {name or 'without a name'} of {where.name} on {branch}: {text(run.get('conclusion'))}",
            fingerprint=normalise.fingerprint("workflow", where.name, text(first(run, "workflow_id", "path")), branch),
            description=text(mapping(run.get("head_commit")).get("message")), system=where.system,
            version=text(run.get("head_sha"), 12).rstrip("…"),
            labels={"alertname": name or "workflow", "repository": where.name, "branch": branch},
            observed_at=at, starts_at=at if status == "firing" else None, ends_at=at if status == "resolved" else None,
            links=normalise.links(("Run", run.get("html_url"))), delivery_key=where.delivery,
            extra={"run": text(run.get("id")), "event": text(run.get("event"))},
        )
    ]  # fmt: skip


def _published(kind: str, message: Mapping[str, Any], where: _Where) -> list[Said]:
    if text(message.get("action")) != "published":
        return []
    thing = mapping(first(message, "release", "registry_package", "package"))
    version = text(first(thing, "tag_name") or mapping(thing.get("package_version")).get("version"))
    name = text(thing.get("name")) or where.name
    what: Literal["deploy", "registry"] = "deploy" if kind == "release" else "registry"
    at = where.at(first(thing, "published_at", "updated_at", "created_at"))
    by = text(mapping(message.get("sender")).get("login"))
    url = next((u for _, u in normalise.links(("", thing.get("html_url")))), "")
    title = f"{name} {version} published by {where.name}"
    key = f"{kind} {text(thing.get('id'))} {version}".strip()
    return [
        Change(
            key, what, title[:300], at, where.system[:200], version[:120], by, url, {"repository": where.name}
        )
    ]


def _security(kind: str, message: Mapping[str, Any], where: _Where) -> list[Said]:
    alert, action = mapping(message.get("alert")), text(message.get("action"))
    if not alert or action not in _OPENED | _ENDED:
        return []
    status: Status = "firing" if action in _OPENED else "resolved"
    family, words = _ALERTS[kind]
    advice, rule = mapping(alert.get("security_advisory")), mapping(alert.get("rule"))
    package = text(mapping(mapping(alert.get("dependency")).get("package")).get("name"))
    what = text(first(advice, "summary") or first(rule, "description", "name")
                or first(alert, "secret_type_display_name", "secret_type"))  # fmt: skip
    severity = first(advice, "severity") or first(rule, "security_severity_level", "severity")
    at = where.at(first(alert, "updated_at", "created_at"))
    return [
        normalise.signal(
            where.inbound, "github", status=status, family=family,
            fingerprint=normalise.fingerprint(kind, where.name, text(alert.get("number"))),
            title=": ".join(part for part in (words, package, what) if part),
            level=normalise.level(severity) or ("critical" if family == "LEAK" else None),
            description=text(advice.get("description"))[:4000], system=where.system,
            labels={"alertname": kind, "repository": where.name, **({"package": package} if package else {})},
            observed_at=at, starts_at=normalise.moment(alert.get("created_at")),
            ends_at=at if status == "resolved" else None, links=normalise.links(("Alert", alert.get("html_url"))),
            delivery_key=where.delivery,
        )
    ]  # fmt: skip


def _issue(kind: str, message: Mapping[str, Any], where: _Where) -> list[Said]:
    """What a person did with an issue. Our own account's acts come back too, and carry our mark or a bot's name."""
    issue, comment, sender = (mapping(message.get(name)) for name in ("issue", "comment", "sender"))
    own = where.account and text(sender.get("login")).lower() == where.account
    if own or text(sender.get("type")).lower() == "bot":
        return []
    mark = _MARK.search(text(issue.get("body"))) or _KEY.search(text(issue.get("title")))
    told: dict[str, Any] = {
        "delivery_key": where.delivery or f"{kind} {text(issue.get('id'))} {text(comment.get('id'))} {text(message.get('action'))}",
        "incident_key": mark[1].upper() if mark else "",
        "remote_id": f"{where.name}#{text(issue.get('number'))}",
        "by_id": text(sender.get("login")),
        "by_name": text(sender.get("login")),
        "at": normalise.moment(first(comment, "created_at") or issue.get("updated_at")),
        "url": next((u for _, u in normalise.links(("", first(comment, "html_url") or issue.get("html_url")))), ""),
    }  # fmt: skip
    action = text(message.get("action"))
    if kind == "issue_comment":
        written = text(comment.get("body"))
        if action != "created" or not written or _OWN_COMMENT.search(written):
            return []
        return [Instruction(verb="comment", text=written, remote_part=text(comment.get("id")), **told)]
    match action:
        case "opened" | "labeled" if not mark and where.declare_label:
            added = entries(issue.get("labels")) if action == "opened" else [mapping(message.get("label"))]
            if where.declare_label in {text(one.get("name")).lower() for one in added}:
                return [Instruction(verb="declare", text=text(issue.get("title")), **told)]
        case "closed":
            ended = {**told, "remote_state": "closed"}
            return [Instruction(verb="state", value="mitigated", text="Closed on GitHub.", **ended)]
        case "reopened":
            again = {**told, "remote_state": "open"}
            return [Instruction(verb="state", value="triaged", text="Reopened on GitHub.", **again)]
        case "assigned":
            who = text(mapping(message.get("assignee")).get("login"))
            taken = {**told, "by_id": who, "by_name": who}
            return [Instruction(verb="assign", text="Assigned on GitHub.", **taken)] if who else []
    return []
