"""The twelve main tasks in a real browser, each with the mouse and with the keyboard alone; what each takes is printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Error

from tests.real.browser import WIDE, Watch, browser
from tests.real.hands import Hands, Keyboard, Mouse
from tests.real.installations import embedded

pytestmark = pytest.mark.timeout(420)

PASSWORD = "correct horse battery"
SEED = """
from incidents.models import AISystem, Incident, RoleGrant, User
from playbooks import engine, publishing, triggers
people = {}
for name, role in (("mouse", "IC"), ("keyboard", "IC"), ("bob", "IC"), ("mo", "MO")):
    people[name] = User.objects.create_user(name, password="correct horse battery", display_name=name.title())
    RoleGrant.objects.create(user=people[name], role=role)
shop = AISystem.objects.create(slug="recs-home", name="Home recommendations")
publishing.apply_text('''playbook: pb-look
title: Look closely
applies_to: {classes: [DRIFT]}
trigger: {mode: manual}
steps:
  - id: LO-01
    kind: approve
    title: Serve the fallback
    text: Serve the fallback?
    risk: R2
    approve: {roles: [IC]}
''', publish=True, note="First")
second, _ = publishing.apply_text('''playbook: pb-ask
title: Ask the fallback
trigger: {mode: manual}
steps:
  - id: AS-01
    kind: approve
    title: Serve the fallback
    text: Serve the fallback?
    risk: R2
    approve: {roles: [IC]}
''', publish=True, note="First")
for name in ("mouse", "keyboard"):
    found = Incident.declare(by=people["mo"], title=f"Drift for the {name}", incident_class="DRIFT", severity=1, system=shop)
    engine.advance(triggers.start(second.playbook, found, by=people["mo"]).pk)
from playbooks.models import Approval
print(list(Approval.objects.values_list("decision", flat=True)))
"""


def sign_in(hands: Hands) -> None:
    page = hands.page
    page.goto("/")
    hands.write(page.get_by_label("User name"), hands.name)
    hands.write(page.get_by_label("Password"), PASSWORD)
    hands.press(page.get_by_role("button", name="Sign in"))
    page.wait_for_selector("header.top")


def open_what_burns(hands: Hands) -> None:
    hands.press(hands.page.locator("#board a.main", has_text=f"Drift for the {hands.name}").first)
    hands.page.wait_for_selector(f"h1:has-text('Drift for the {hands.name}')")


def acknowledge(hands: Hands) -> None:
    hands.press(hands.page.get_by_role("button", name="Acknowledge", exact=True))
    hands.page.get_by_text("Acknowledged.", exact=True).wait_for()


def approve(hands: Hands) -> None:
    hands.press(
        hands.page.locator(".asks", has_text="Serve the fallback").locator("a[href*='/approvals/']").first
    )
    hands.press(hands.page.locator("button[value=approve]"))
    hands.page.get_by_text("Approved. The run goes on.").wait_for()


def start_a_playbook(hands: Hands) -> None:
    if hands.page.locator("#start-playbook:not([open])").count():
        hands.press(hands.page.locator("#start-playbook > summary"))
    hands.press(hands.page.locator("#start-playbook a", has_text="Look closely").first)
    hands.press(hands.page.locator("main button[name=then][value=start]"))
    hands.page.wait_for_url("**/runs/*/")


def answer_the_matrix(hands: Hands) -> None:
    hands.press(hands.page.get_by_role("link", name="Severity", exact=True))
    hands.press(hands.page.locator("input[name=impact_OP]").first)
    hands.page.wait_for_load_state("networkidle")  # the result beside it is drawn again
    hands.write(hands.page.get_by_label("Reason"), "Small.")
    hands.press(hands.page.get_by_role("button", name="Save", exact=True))
    hands.page.get_by_text("Severity SEV", exact=False).first.wait_for()


def write_a_note(hands: Hands) -> None:
    hands.write(hands.page.locator("#note textarea"), f"The {hands.name} looked at it.")
    hands.press(hands.page.get_by_role("button", name="Add note"))
    hands.page.get_by_text(f"The {hands.name} looked at it.").first.wait_for()


def do_a_task(hands: Hands) -> None:
    hands.press(hands.page.locator("#new-task > summary"))
    hands.write(hands.page.locator("#new-task input[name=title]"), "Call the vendor")
    hands.press(hands.page.locator("#new-task button[type=submit]"))
    hands.press(hands.page.get_by_role("button", name="Done: Call the vendor"))
    hands.page.get_by_text("Done: Call the vendor").first.wait_for()


def hand_over(hands: Hands) -> None:
    hands.press(hands.page.locator("#hand-over > summary"))
    hands.choose(hands.page.locator("#hand-over select[name=owner]"), "Bob")
    hands.press(hands.page.locator("#hand-over button[type=submit]"))
    hands.page.get_by_text("Bob has command.").wait_for()


def declare(hands: Hands) -> None:
    hands.page.goto("/incidents/")
    hands.press(hands.page.locator("main").get_by_role("link", name="Declare", exact=False).first)
    hands.write(hands.page.locator("input[name=title]"), f"Declared with the {hands.name}")
    hands.press(hands.page.locator("main").get_by_role("button", name="Declare", exact=True))
    hands.page.get_by_text(" is open.").wait_for()


def find_one(hands: Hands) -> None:
    hands.page.goto("/incidents/")
    hands.write(hands.page.locator("main input[name=q]"), f"Declared with the {hands.name}")
    hands.page.keyboard.press("Enter")
    hands.press(hands.page.locator("main a.main", has_text=f"Declared with the {hands.name}").first)
    hands.page.wait_for_selector(f"h1:has-text('Declared with the {hands.name}')")


def make_a_token(hands: Hands) -> None:
    hands.page.goto("/settings/")
    hands.press(hands.page.locator("#new-token > summary"))
    hands.write(hands.page.locator("#new-token input[name=name]"), "CI")
    hands.press(hands.page.locator("#new-token button[type=submit]"))
    hands.page.locator(".secret code").wait_for()


#: what is to be done, and whether it begins on the incident's page
TASKS: list[tuple[str, Callable[[Hands], None], bool]] = [
    ("sign in", sign_in, False),
    ("open what burns", open_what_burns, False),
    ("acknowledge it", acknowledge, True),
    ("approve what is asked", approve, True),
    ("answer the severity matrix", answer_the_matrix, True),
    ("write a note", write_a_note, True),
    ("give a task and tick it off", do_a_task, True),
    ("start a playbook", start_a_playbook, True),
    ("hand over command", hand_over, True),
    ("declare an incident", declare, False),
    ("find an incident", find_one, False),
    ("make a token", make_a_token, False),
]


def test_the_twelve_main_tasks_by_mouse_and_by_keyboard_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: dict[str, list[str]] = {title: [] for title, _, _ in TASKS}
    with embedded(tmp_path) as home, browser() as started:
        assert "['pending', 'pending']" in home.python(SEED)
        url = home.webs[0].url
        for kind in (Mouse, Keyboard):
            window = started.new_context(base_url=url, viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
            window.set_default_timeout(15_000)
            page = window.new_page()
            watch = Watch(url)
            watch.follow(page)
            hands = kind(page)
            incident = ""
            for title, task, on_incident in TASKS:
                if on_incident:
                    page.goto(incident)
                hands.steps, began = 0, time.monotonic()
                try:
                    task(hands)
                except Error as error:
                    said = page.inner_text("main")[:3000]
                    raise AssertionError(f"{title} by {kind.name} on {page.url}: {error}\n{said}") from error
                taken[title].append(f"{hands.steps:4} {time.monotonic() - began:5.1f} s")
                if task is open_what_burns:
                    incident = page.url
            assert not watch.complaints, f"{kind.name}: {watch.complaints}"
            window.close()
    with capsys.disabled():
        print(f"\n{'task':30} {'mouse':>12}  {'keyboard':>12}   (clicks or keys, time)")
        for title, numbers in taken.items():
            print(f"{title:30} {'  '.join(f'{one:>12}' for one in numbers)}")
    assert all(len(numbers) == 2 for numbers in taken.values())
