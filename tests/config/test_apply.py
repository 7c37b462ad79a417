"""`manage.py apply`: files become configuration, once, with a diff and without secrets."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from config import applying, manifests
from incidents.models import AISystem, GroupingRule, Silence
from integrations.models import Connection, Route
from playbooks.models import Playbook
from tests.processes import ROOT
from tests.scenes import person

pytestmark = pytest.mark.django_db

PLAYBOOK = """\
# kept as it is written
playbook: pb-look
title: Look at it
steps:
  - id: LOOK
    kind: human
    title: Look
    form:
      - {name: seen, kind: bool}
"""


def apply(*args: object) -> str:
    out = io.StringIO()
    call_command("apply", *map(str, args), stdout=out)
    return out.getvalue()


def written(folder: Path, text: str, name: str = "config.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused(folder: Path, text: str) -> str:
    with pytest.raises(CommandError) as caught:
        apply(written(folder, text))
    assert "Nothing was changed" in str(caught.value)
    return str(caught.value)


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of docs/gitops.md, with its environment."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-very-secret")
    person("ann", "SRE", is_superuser=True)
    text = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "gitops.md").read_text(), re.S)[0]
    return written(tmp_path, text)


def test_the_documented_example_is_applied_once_and_then_changes_nothing(documented: Path) -> None:
    said = apply(documented, "--by", "ann")
    assert "6 changes" in said
    assert "+risk_tier: high" in said
    assert "very-secret" not in said
    assert re.search(r"/inbound/[\w-]{20,}/", said)
    assert Connection.objects.get(name="Slack").settings["bot_token"] == "xoxb-very-secret"
    assert Route.objects.get().connection.name == "Slack"
    assert [d.name for d in AISystem.objects.get().upstream.all()] == ["applications"]
    assert Silence.objects.get().created_by.username == "ann"  # type: ignore[union-attr]
    assert apply(documented, "--by", "ann").strip() == "no changes"
    assert Silence.objects.count() == 1


def test_a_dry_run_shows_the_same_and_writes_nothing(documented: Path) -> None:
    said = apply(documented, "--by", "ann", "--dry-run")
    assert "6 changes; nothing was written" in said
    assert "/inbound/" not in said
    assert not AISystem.objects.exists()
    assert not Connection.objects.exists()


def test_only_what_differs_is_shown_and_what_is_left_out_stays(tmp_path: Path) -> None:
    apply(written(tmp_path, "kind: system\nslug: chat\nname: Chat\npurpose: Answers\n"))
    said = apply(written(tmp_path, "kind: system\nslug: chat\nrisk_tier: high\n"))
    assert "-risk_tier: unknown\n+risk_tier: high" in said
    assert "+purpose" not in said
    assert AISystem.objects.get().purpose == "Answers"


def test_a_changed_secret_is_told_without_showing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "kind: connection\nname: Slack\nprovider: slack\nsettings: {bot_token: '${T}', channel: C1}\n"
    monkeypatch.setenv("T", "xoxb-first")
    apply(written(tmp_path, text))
    monkeypatch.setenv("T", "xoxb-second")
    said = apply(written(tmp_path, text))
    assert "+renewed:\n+- bot_token" in said
    assert "first" not in said
    assert "second" not in said
    assert Connection.objects.get().settings["bot_token"] == "xoxb-second"


def test_a_changed_rule_is_a_new_version_and_the_only_active_one(tmp_path: Path) -> None:
    apply(written(tmp_path, "kind: rule\nname: Mine\nkey_fields: [system]\n"))
    apply(written(tmp_path, "kind: rule\nname: Mine\nwindow_seconds: 60\n"))
    versions = list(
        GroupingRule.objects.filter(name="Mine")
        .order_by("version")
        .values_list("version", "active", "window_seconds")
    )
    assert versions == [(1, False, 86_400), (2, True, 60)]
    assert GroupingRule.objects.get(name="Mine", version=2).key_fields == ["system"]


def test_a_playbook_is_published_with_its_comments_and_a_new_text_is_a_new_version(tmp_path: Path) -> None:
    assert "+title: Look at it" in apply(written(tmp_path, PLAYBOOK, "deep/in/pb-look.yml"), tmp_path)
    published = Playbook.objects.get(slug="pb-look").published
    assert published is not None
    assert published.source == PLAYBOOK
    assert apply(tmp_path).strip() == "no changes"
    written(tmp_path, PLAYBOOK.replace("Look at it", "Look twice"), "deep/in/pb-look.yml")
    assert "-title: Look at it\n+title: Look twice" in apply(tmp_path)
    assert Playbook.objects.get(slug="pb-look").published.number == 2  # type: ignore[union-attr]


def test_a_documents_order_in_the_files_does_not_matter(tmp_path: Path) -> None:
    route = "kind: route\nname: All\nconnection: Slack\n"
    slack = "kind: connection\nname: Slack\nprovider: slack\nsettings: {bot_token: xoxb-1, channel: C1}\n"
    apply(written(tmp_path, f"{route}---\n{slack}"))
    assert Route.objects.get().connection.name == "Slack"


def test_every_mistake_is_named_with_its_place_and_nothing_is_kept(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        "kind: system\nslug: good\nname: Good\n---\nkind: system\nslug: bad\nname: Bad\nrisk_tier: huge\n---\n"
        "kind: connection\nname: C\nprovider: slack\nsettings:\n  channel: C1\n  colour: red\n",
    )
    assert "config.yaml:8:12: " in said
    assert "config.yaml:15:11: colour unknown setting" in said
    assert "bot_token is required" in said
    assert not AISystem.objects.exists()


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("kind: castle\nname: x\n", "1:7", "must be one of system"),
        ("- a list\n", "1:1", "mapping"),
        ("kind: system\n  slug: [\n", "2:7", "not YAML"),
        ("kind: system\nname: No slug\n", "1:1", "needs “slug”"),
        ("kind: system\nslug: s\nname: S\nowner: nobody\n", "4:8", "no user 'nobody'"),
        ("kind: system\nslug: s\nname: S\ncolour: red\n", "4:9", "has no 'colour'"),
        ("kind: system\nslug: s\nname: S\nname: T\n", "1:1", "each once"),
        ("kind: system\nslug: s\nname: S\nupstream: 5\n", "4:11", "list of texts"),
        ("kind: system\nslug: s\nname: S\nmatchers: '{{'\n", "4:11", "Cannot read"),
        ("kind: system\nslug: s\nname: ${NO_SUCH_VARIABLE}\n", "3:7", "no variable NO_SUCH_VARIABLE"),
        ("kind: connection\nname: c\nprovider: pigeon\n", "1:1", "no provider 'pigeon'"),
        ("kind: route\nname: r\nconnection: none\n", "3:13", "no connection 'none'"),
        ("kind: silence\nreason: r\nmatchers: a=b\nends_at: soon\n", "4:10", "time with its zone"),
        ("kind: silence\nreason: r\nmatchers: a=b\nends_at: 2035-01-01T00:00:00Z\n", "1:1", "--by USER"),
        ("kind: rule\nname: r\nkey_fields: [moon]\n", "3:13", "no key part 'moon'"),
        ("kind: rule\nname: r\nkey_fields: [system]\n---\nkind: rule\nname: r\n", "6:7", "already in"),
        ("kind: rule\nname: r\nkey_fields: [system]\n---\nplaybook: pb-x\ntitle: X\nsteps:\n  - id: A\n    kind: dance\n", "9:11", "dance"),
        ("a: &x [*x]\nkind: rule\n", "1:4", "deeply nested"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, text: str, place: str, said: str) -> None:
    told = refused(tmp_path, text)
    assert f"config.yaml:{place}: " in told
    assert said in told


def test_a_missing_path_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(CommandError, match="There is no"):
            apply(path)


def test_in_somebodys_name_that_persons_rights_count(tmp_path: Path) -> None:
    person("sam", "SRE")
    with pytest.raises(CommandError, match=r"config\.edit"):
        apply(written(tmp_path, "kind: rule\nname: r\n"), "--by", "sam")


def test_a_playbook_that_calls_another_one_is_applied_after_it(tmp_path: Path) -> None:
    head = "title: x\ntrigger: {mode: manual}\nsteps:\n"
    (tmp_path / "a-caller.yaml").write_text(
        f"playbook: a-caller\n{head}  - {{id: C, kind: playbook, title: Call, playbook: b-called}}\n"
    )
    (tmp_path / "b-called.yaml").write_text(
        f"playbook: b-called\n{head}  - {{id: T, kind: notify, title: Tell, text: hello}}\n"
    )
    changes = applying.apply(manifests.read([str(tmp_path)]))
    assert [change.name for change in changes] == ["playbook b-called", "playbook a-caller"]
    (tmp_path / "a-caller.yaml").write_text(
        f"playbook: a-caller\n{head}  - {{id: C, kind: playbook, title: Call, playbook: c-called}}\n"
    )
    with pytest.raises(
        manifests.Unusable, match=r"a-caller.yaml:5:1: Step C: there is no published playbook 'c-called'"
    ):
        applying.apply(manifests.read([str(tmp_path)]))


def test_a_playbook_with_a_hostile_tag_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("playbook: x\ntitle: !!python/object/apply:os.system [ls]\nsteps: []\n")
    with pytest.raises(manifests.Unusable, match=r"x.yaml:2:8: “title” must be a text"):
        applying.apply(manifests.read([str(tmp_path)]))
