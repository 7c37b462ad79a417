"""The console's front page: arranged by what an administrator comes to do, not by where the tables are."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import reverse

#: (task, what it is for, models as "app.Model")
TASKS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Severity and targets",
        "How bad is what, how soon is which answer due, and which days do not count. The matrix is tried before it is saved.",
        ("incidents.SeverityProfile", "incidents.ResponseTarget", "incidents.Holiday"),
    ),
    (
        "Alerts into incidents",
        "Which alerts become one incident, and what is muted. A rule shows what it would have done in the last 30 days.",
        ("incidents.GroupingRule", "incidents.Silence"),
    ),
    (
        "Messages in and out",
        "Where reports come from and where news go. A route shows what it would have sent in the last 30 days.",
        ("integrations.Connection", "integrations.Route"),
    ),
    (
        "People and rights",
        "Who may sign in, who holds which role on which system, and which tokens act for them.",
        ("incidents.User", "incidents.RoleGrant", "incidents.Team", "incidents.ApiToken"),
    ),
    (
        "Systems, data and playbooks",
        "What is watched, what feeds it, and what is done when it fails.",
        ("incidents.AISystem", "incidents.Dataset", "playbooks.Playbook", "playbooks.PlaybookVersion"),
    ),
    ("Retention", "How long messages, alerts and evidence are kept.", ("incidents.Retention",)),
    (
        "Records, to be read",
        "What happened. It is corrected by adding to it, on its own pages.",
        (
            "incidents.Incident", "incidents.Alert", "incidents.Event", "incidents.Evidence", "playbooks.Run",
            "playbooks.Step", "playbooks.Approval", "integrations.InboxMessage", "integrations.Delivery",
        ),
    ),
)  # fmt: skip
OTHER = ("Everything else", "What other parts keep.")


class ConsoleSite(AdminSite):
    """Django's console with the tables under tasks."""

    site_header = "Holdfast administration"
    site_title = "Holdfast"
    index_title = "What do you want to do?"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Tasks in place of apps: each with `summary` and the models that this person may open."""
        apps: dict[str, Any] = self._build_app_dict(request, app_label)
        if app_label:
            return list(apps.values())
        there = {
            f"{label}.{model['object_name']}": model for label, app in apps.items() for model in app["models"]
        }
        tasks = [
            (title, summary, [there.pop(name) for name in names if name in there])
            for title, summary, names in TASKS
        ]
        tasks.append((*OTHER, sorted(there.values(), key=lambda model: str(model["name"]))))
        return [
            {
                "name": title, "summary": summary, "app_label": f"task-{number}", "models": models,
                "app_url": f"{reverse('admin:index', current_app=self.name)}#task-{number}", "has_module_perms": True,
            }
            for number, (title, summary, models) in enumerate(tasks, 1)
            if models
        ]  # fmt: skip
