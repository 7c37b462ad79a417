"""Whatever a page can do, the API can: each address that takes POST, with the operations that do the same."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from config import api

#: page → operations of `/api/v1/` that do what its POST does; or, as text, why nothing has to.
TWINS: dict[str, str | tuple[str, ...]] = {
    **dict.fromkeys(("login", "logout", "console_door", "second_factor"), "A call shows a token instead of signing in."),
    **dict.fromkeys(
        (
            "console_password", "my_authenticator", "my_factor_removal", "my_passkey", "my_password", "my_recovery_codes",
            "my_session_end", "my_sessions_end",
        ),
        "What opens the door is changed by the person who stands before it, who has just proved it.",
    ),
    "incidents:declare": ("POST /incidents/",),
    "incidents:batch": ("POST /incidents/batches/",),
    "incidents:saved_views": ("POST /saved-views/",),
    "incidents:saved_view_removal": ("DELETE /saved-views/{id}/",),
    "incidents:acknowledgement": ("POST /incidents/{id}/acknowledgement/",),
    "incidents:owner": ("PUT /incidents/{id}/owner/",),
    "incidents:transitions": (
        "POST /incidents/{id}/transitions/",
        # what its form does on the way, and answers that are kept without a move
        "POST /incidents/{id}/evidence/snapshots/",
        "PUT /incidents/{id}/communications/",
        "POST /incidents/{id}/tasks/",
        "PATCH /incidents/{id}/",
        "POST /incidents/{id}/assessments/",
    ),
    "incidents:decisions": ("POST /incidents/{id}/decisions/",),
    "incidents:rescorings": ("POST /incidents/{id}/decisions/", "PUT /incidents/{id}/impact/"),
    "incidents:handover_read": ("POST /incidents/{id}/handover/",),
    "incidents:reading": ("POST /notices/reading/",),
    "incidents:wishes": ("PUT /notices/wishes/",),
    "incidents:facts": ("PATCH /incidents/{id}/",),
    "incidents:notes": ("POST /incidents/{id}/timeline/",),
    "incidents:pins": ("POST /incidents/{id}/pins/",),
    "incidents:tasks": ("POST /incidents/{id}/tasks/",),
    "incidents:task_done": ("POST /incidents/{id}/tasks/{item}/done/",),
    "incidents:attestations": ("POST /incidents/{id}/attestations/",),
    "incidents:comms": ("PUT /incidents/{id}/communications/",),
    "incidents:told": ("POST /incidents/{id}/communications/",),
    "incidents:alert_moves": ("POST /incidents/{id}/alert-moves/",),
    "incidents:splits": ("POST /incidents/{id}/splits/",),
    "incidents:undoings": ("POST /incidents/{id}/undoings/",),
    "incidents:restriction": ("POST /incidents/{id}/restriction/",),
    "incidents:settlement": ("POST /clocks/{id}/settlement/",),
    "incidents:severity_preview": ("POST /incidents/{id}/assessments/preview/",),
    "incidents:assessments": ("POST /incidents/{id}/assessments/",),
    "incidents:evidence": ("POST /incidents/{id}/evidence/",),
    "incidents:evidence_item": ("POST /incidents/{id}/evidence/{item}/reveals/",),
    "incidents:postmortem": ("POST /postmortems/", "PATCH /postmortems/{id}/", "PUT /postmortems/{id}/no-actions/"),
    "incidents:section_preview": "Markdown as a page shows it; a program draws its own.",
    "incidents:factors": ("POST /postmortems/{id}/factors/",),
    "incidents:actions": ("POST /postmortems/{id}/actions/",),
    "incidents:action_done": ("POST /postmortems/{id}/actions/{item}/closing/",),
    "incidents:reviews": ("POST /postmortems/{id}/reviews/",),
    "incidents:reopen_review": ("POST /postmortems/{id}/reopening/",),
    "incidents:system_new": ("POST /systems/",),
    "incidents:system_edit": ("PATCH /systems/{slug}/",),
    "incidents:system": ("POST /systems/{slug}/links/",),
    "incidents:silences": ("POST /silences/",),
    "incidents:silence_end": ("POST /silences/{id}/end/",),
    "incidents:settings": "Theme, time zone and name of a person are about pages.",
    "incidents:tokens": "A token that could make tokens would outlive its own end and scopes.",
    "incidents:token_revoke": "As for making them; whoever lost one signs in.",
    "playbooks:new": ("POST /playbooks/",),
    "playbooks:check": ("POST /playbooks/validation/",),
    "playbooks:import": ("POST /playbooks/imports/",),
    "playbooks:edit": ("PUT /playbooks/{slug}/draft/", "DELETE /playbooks/{slug}/draft/"),
    "playbooks:version": ("POST /playbooks/{slug}/publications/", "POST /playbooks/{slug}/archivals/"),
    "playbooks:plan": ("GET /incidents/{id}/plan/",),
    "playbooks:simulation": ("POST /simulations/",),
    "playbooks:start": ("POST /runs/",),
    "playbooks:run": (
        "POST /runs/{id}/pause/",
        "POST /runs/{id}/resume/",
        "POST /runs/{id}/cancel/",
        "POST /runs/{id}/steps/{step}/skip/",
        "POST /runs/{id}/steps/{step}/retry/",
        "POST /runs/{id}/reruns/",
    ),
    "playbooks:approval": ("POST /approvals/{id}/decision/", "POST /approvals/{id}/answer/"),
    "playbooks:answer_link": "A link out of a message, for whoever holds it; a call shows a token.",
    "integrations:context": ("POST /incidents/{id}/context/",),
    "integrations:new": ("POST /connections/",),
    "integrations:connection": ("PATCH /connections/{id}/",),
    "integrations:switch": ("PATCH /connections/{id}/",),
    "integrations:sending": ("PATCH /connections/{id}/", "POST /connections/{id}/redelivery/"),
    "integrations:expectation": ("PATCH /connections/{id}/",),
    "integrations:address": ("POST /connections/{id}/rotation/",),
    "integrations:test": ("POST /connections/{id}/test/",),
    "integrations:last": ("POST /connections/{id}/replay/",),
    "integrations:people": ("POST /connections/{id}/people/", "DELETE /connections/{id}/people/{number}/"),
    "integrations:routes": ("POST /routes/", "POST /routes/{id}/preview/"),
    "integrations:route": ("PATCH /routes/{id}/", "DELETE /routes/{id}/", "POST /routes/{id}/preview/"),
    "integrations:again_all": ("POST /deliveries/redeliveries/",),
    "integrations:again": ("POST /deliveries/{id}/redelivery/",),
    "integrations:replay_many": ("POST /inbox/replays/",),
    "integrations:message": ("POST /inbox/{id}/replay/",),
}  # fmt: skip


def _pages(below: Any, space: str = "") -> Iterator[tuple[str, Any]]:
    for entry in below.url_patterns:
        if isinstance(entry, URLResolver):
            if str(entry.pattern) not in ("admin/", "api/v1/"):
                yield from _pages(entry, f"{entry.namespace}:" if entry.namespace else space)
        elif isinstance(entry, URLPattern) and entry.name:
            yield space + entry.name, entry.callback


def _takes_post(view: Any) -> bool:
    if (made_of := getattr(view, "view_class", None)) is not None:
        return hasattr(made_of, "post")
    return (
        re.search(r"\bPOST\b|@posts_to|@posted|@require_POST", inspect.getsource(inspect.unwrap(view)))
        is not None
    )


def test_each_page_that_changes_something_has_its_twins_in_the_api() -> None:
    changing = {name for name, view in _pages(get_resolver()) if _takes_post(view)}
    assert changing - set(TWINS) == set(), "name the operation that does the same, or say why none has to"
    assert set(TWINS) - changing == set(), "no page of this name takes POST"


def test_the_twins_are_operations_of_the_document() -> None:
    there = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in api.document()["paths"].items()
        for method in item
    }
    named = {one for twins in TWINS.values() if isinstance(twins, tuple) for one in twins}
    assert named - there == set()
    assert all(len(why) > 20 for why in TWINS.values() if isinstance(why, str))


def test_a_view_that_takes_post_is_recognised() -> None:
    """The look at the source finds both ways in which a view takes POST."""
    names = {name for name, view in _pages(get_resolver()) if _takes_post(view)}
    assert {"incidents:declare", "incidents:acknowledgement", "integrations:again_all", "login"} <= names
    assert not {"incidents:incident", "incidents:insights", "integrations:inbox"} & names
