"""What publishing asks of the world around a text: called playbooks, people who hold roles, a second pair of eyes."""

from __future__ import annotations

import pytest
from django.urls import reverse
from pytest_django.fixtures import Settings

from incidents.lifecycle import Refused
from incidents.models import RoleGrant
from playbooks import linking, publishing
from playbooks.definition import DefinitionError, parse
from playbooks.models import Playbook
from tests.playbooks.page_scenes import page, signed_in
from tests.scenes import person

pytestmark = pytest.mark.django_db

HEAD = "playbook: {slug}\ntitle: {slug}\ntrigger: {{mode: manual}}\n"
TELL = HEAD + "inputs:\n  - {{name: who}}\nsteps:\n  - {{id: N, kind: notify, title: Tell, text: hello}}\n"
CALL = HEAD + "steps:\n  - {{id: C, kind: playbook, title: Call, playbook: {called}, with: {{who: all}}}}\n"
PROMOTE = (
    HEAD + "steps:\n  - {{id: P, kind: approve, title: Promote it, risk: R3, approve: {{roles: [MRC]}}}}\n"
)


def published(text: str) -> Playbook:
    return publishing.apply_text(text, publish=True, note="x")[0].playbook


def refused(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as error:
        publishing.apply_text(text, publish=True)
    return [str(problem) for problem in error.value.problems]


# --- called playbooks ----------------------------------------------------------------------------------
def test_a_called_playbook_must_be_published() -> None:
    published(TELL.format(slug="pb-tell"))
    assert refused(CALL.format(slug="pb-call", called="pb-tel")) == [
        "line 5, column 1: Step C: there is no published playbook 'pb-tel'; there are pb-tell. Did you mean “pb-tell”?"
    ]
    publishing.archive(Playbook.objects.get().published, by=person("mia", "MRC"), note="x")  # type: ignore[arg-type]
    assert (
        "there is no published playbook 'pb-tell'; there are none"
        in refused(CALL.format(slug="pb-call", called="pb-tell"))[0]
    )


def test_playbooks_that_call_each_other_in_a_circle_are_refused() -> None:
    published(TELL.format(slug="pb-a"))
    published(CALL.format(slug="pb-b", called="pb-a"))
    published(CALL.format(slug="pb-c", called="pb-b").replace(", with: {who: all}", ""))
    circle = CALL.format(slug="pb-a", called="pb-c").replace(", with: {who: all}", "")
    assert "a playbook cannot run itself: pb-a → pb-c → pb-b → pb-a" in refused(circle)[0]


def test_inputs_of_a_called_playbook_are_checked() -> None:
    published(TELL.format(slug="pb-tell"))
    text = CALL.format(slug="pb-call", called="pb-tell")
    assert linking.problems_of(text) == []
    wrong = [str(p) for p in linking.problems_of(text.replace("who: all", "whom: all"))]
    assert wrong == [
        "line 5, column 1: Step C: pb-tell has no input 'whom'; it has who. Did you mean “who”?",
        "line 5, column 1: Step C: pb-tell needs 'who' in “with”.",
    ]


def test_texts_are_put_in_an_order_in_which_callers_come_last() -> None:
    texts = {
        "1": CALL.format(slug="pb-a", called="pb-b"), "2": CALL.format(slug="pb-b", called="pb-c"),
        "3": TELL.format(slug="pb-c"), "4": "not a playbook",
    }  # fmt: skip
    order = linking.callers_last(texts)
    assert order.index("3") < order.index("2") < order.index("1")
    assert set(order) == set(texts)
    circle = {"1": CALL.format(slug="pb-a", called="pb-b"), "2": CALL.format(slug="pb-b", called="pb-a")}
    assert linking.callers_last(circle) == ["1", "2"]


# --- people --------------------------------------------------------------------------------------------
def test_a_role_that_nobody_holds_is_warned_of_and_does_not_keep_from_publishing() -> None:
    text = PROMOTE.format(slug="pb-promote")
    warnings = [str(p) for p in linking.warnings_of(parse(text))]
    assert warnings == [
        "line 5, column 1: Step P: nobody holds MRC, who may approve. Grant the role, or name another."
    ]
    mia = person("mia", "MRC")
    assert linking.warnings_of(parse(text)) == []
    mia.is_active = False
    mia.save()
    assert len(linking.warnings_of(parse(text))) == 1, "who left holds nothing"
    published(text)


def test_each_role_of_all_of_is_asked_for() -> None:
    text = PROMOTE.format(slug="pb-promote").replace("roles: [MRC]", "all_of: [MRC, LEG]")
    person("mia", "MRC")
    assert ["LEG" in str(p) for p in linking.warnings_of(parse(text))] == [True]


def test_an_automatic_playbook_with_an_input_that_nobody_gives_is_warned_of() -> None:
    text = TELL.format(slug="pb-tell").replace("mode: manual", "mode: auto, on: [incident.opened]")
    assert "it is suggested instead" in linking.warnings_of(parse(text))[0].message


# --- four eyes -----------------------------------------------------------------------------------------
def test_who_wrote_a_draft_that_acts_at_r3_does_not_publish_it() -> None:
    max, mia = person("max", "MLE", "MRC"), person("mia", "MRC")
    draft = publishing.apply_text(PROMOTE.format(slug="pb-promote"), by=max)[0]
    with pytest.raises(Refused, match="acts at risk R3, and you wrote this draft"):
        publishing.publish_version(draft, by=max, note="Mine")
    assert publishing.publish_version(draft, by=mia, note="Read").published_by == mia


def test_below_the_class_of_the_setting_one_person_is_enough(settings: Settings) -> None:
    max = person("max", "MLE", "MRC")
    milder = PROMOTE.format(slug="pb-mild").replace("risk: R3", "risk: R2").replace("[MRC]", "[IC]")
    publishing.apply_text(milder, by=max, publish=True)
    settings.HOLDFAST_FOUR_EYES_FROM = "R2"
    with pytest.raises(Refused):
        publishing.apply_text(milder.replace("Promote it", "Promote"), by=max, publish=True)
    settings.HOLDFAST_FOUR_EYES_FROM = "off"
    publishing.apply_text(PROMOTE.format(slug="pb-promote"), by=max, publish=True)


def test_the_installation_itself_publishes_what_it_brings() -> None:
    assert published(PROMOTE.format(slug="pb-promote")).published is not None


# --- the pages -----------------------------------------------------------------------------------------
def test_save_and_publish_keeps_the_draft_when_a_second_person_is_needed() -> None:
    client = signed_in(person("max", "MLE", "MRC"))
    given = {"source": PROMOTE.format(slug="pb-promote"), "note": "First", "then": "publish"}
    shown = client.post(reverse("playbooks:new"), given, follow=True).content.decode()
    assert "The draft is kept, and not published: This playbook acts at risk R3" in shown
    assert "max wrote this draft and cannot publish it" in shown
    assert [v.status for v in Playbook.objects.get().versions.all()] == ["draft"]


def test_save_and_publish_asks_for_a_note_and_shows_warnings() -> None:
    client = signed_in(person("max", "MLE", "MRC"))
    RoleGrant.objects.filter(role="IC").delete()
    milder = PROMOTE.format(slug="pb-mild").replace("risk: R3", "risk: R2").replace("[MRC]", "[IC]")
    shown = client.post(
        reverse("playbooks:new"), {"source": milder, "then": "publish"}, follow=True
    ).content.decode()
    assert "Say in the note what changed and why" in shown
    assert "nobody holds IC, who may approve" in shown
    client.post(
        reverse("playbooks:edit", args=["pb-mild"]), {"source": milder, "note": "First", "then": "publish"}
    )
    assert Playbook.objects.get().published is not None


def test_taking_out_of_use_asks_why_and_keeps_it() -> None:
    playbook, client = published(TELL.format(slug="pb-tell")), signed_in(person("mia", "MRC"))
    address = reverse("playbooks:version", args=["pb-tell", 1])
    assert "Say in the note why" in client.post(address, {"then": "archive"}).content.decode()
    client.post(address, {"then": "archive", "note": "Nobody reads it"})
    assert playbook.published is None
    assert "archived by mia" in page(client, address)
    assert "Nobody reads it" in page(client, address)


def test_a_text_of_another_playbook_is_told_in_the_editor() -> None:
    published(TELL.format(slug="pb-tell"))
    client = signed_in(person("max", "MLE"))
    other = "# renamed\n" + TELL.format(slug="pb-other")
    shown = client.post(reverse("playbooks:check"), {"source": other, "slug": "pb-tell"}).content.decode()
    assert "line 2, column 1" in shown
    assert "This is the playbook &#x27;pb-tell&#x27;, and the text says &#x27;pb-other&#x27;" in shown
    assert "No problems" in client.post(reverse("playbooks:check"), {"source": other}).content.decode()
