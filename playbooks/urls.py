"""Addresses of the first floor's pages."""

from django.urls import path

from playbooks.pages import approvals, editor, library, links, plans, runs

app_name = "playbooks"
urlpatterns = [
    path("playbooks/", library.playbooks, name="playbooks"),
    path("new-playbook/", editor.new, name="new"),
    path("new-playbook/check/", editor.check_text, name="check"),
    path("new-playbook/import/", editor.bring_in, name="import"),
    path("playbooks/<slug:slug>/", library.playbook, name="playbook"),
    path("playbooks/<slug:slug>/edit/", editor.edit, name="edit"),
    path("playbooks/<slug:slug>/runs/", library.start, name="start"),
    path("playbooks/<slug:slug>/versions/<int:number>/", library.version, name="version"),
    path("playbooks/<slug:slug>/versions/<int:number>/file/", library.file, name="file"),
    path("playbooks/<slug:slug>/plan/", plans.plan, name="plan"),
    path("playbooks/<slug:slug>/versions/<int:number>/simulation/", plans.simulation, name="simulation"),
    path("runs/", runs.runs, name="runs"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("runs/<int:pk>/part/", runs.run_part, name="run_part"),
    path("approvals/", approvals.approvals, name="approvals"),
    path("approvals/<int:pk>/", approvals.approval, name="approval"),
    path("answer/<str:signed>/", links.answer_link, name="answer_link"),
]
