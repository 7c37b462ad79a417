"""The twelve main tasks in a real browser, each with the mouse and with the keyboard alone; what each takes is printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Error

from tests.real.browser import PHONE, WIDE, Watch, browser
from tests.real.hands import Hands, Keyboard, Mouse
from tests.real.installations import embedded

pytestmark = pytest.mark.timeout(900)  # twenty-four tasks, on a machine that may be busy

PASSWORD = "correct horse battery"
#: A world for each of two people: an open drift with a form that waits, its twin to merge, and last month's like it.
SEED = """
from datetime import timedelta
from django.utils import timezone
from incidents import postmortem
from incidents.models import AISystem, Alert, Incident, RoleGrant, User
from playbooks import engine, publishing, triggers

def person(name, *roles):
    user = User.objects.create_user(name, password="correct horse battery", display_name=name.title())
    for role in roles:
        RoleGrant.objects.create(user=user, role=role)
    return user

people = {name: person(name, "IC", "MRC", "ADM") for name in ("mouse", "keyboard")}
person("bob", "IC"); mo = person("mo", "MO")

def playbook(slug, title, steps):
    text = f"playbook: {slug}\\ntitle: {title}\\napplies_to: {{classes: [DRIFT]}}\\ntrigger: {{mode: manual}}\\nsteps:\\n" + steps
    return publishing.apply_text(text, publish=True, note="First")[0].playbook

playbook("pb-fallback", "Serve the fallback", '''  - id: FB-01
    kind: approve
    title: Fallback
    text: Serve the fallback?
    risk: R1
''')
look = playbook("pb-look", "Look closely", '''  - id: LO-01
    kind: human
    title: Look at the dashboards
    form:
      - {name: finding, kind: text, help: What you see.}
''')
for name in people:
    playbook(f"pb-{name}", f"Notes of the {name}", '''  - id: NO-01
    kind: human
    title: Write it down
    form:
      - {name: note, kind: text}
''')

def drift(title, system, **fields):
    found = Incident.declare(by=mo, title=title, incident_class="DRIFT", severity=2, system=system, **fields)
    Alert.objects.create(
        origin="connection:1", source="evidently", fingerprint=found.key, status="firing", title="PSI of income", level="critical",
        metric="psi", feature="income", first_seen=found.detected_at, last_seen=found.detected_at, incident=found, system=system,
    )
    Incident.objects.filter(pk=found.pk).update(alert_count=1, firing_count=1, report_count=1)
    return found

for name in people:
    system = AISystem.objects.create(slug=f"recs-{name}", name=f"Recommendations {name}")
    month = timezone.now() - timedelta(days=30)
    before = drift(f"Last month of the {name}", system, at=month)
    before.contain(by=mo, at=month + timedelta(hours=2))
    postmortem.name_factor(postmortem.draft(before, by=mo), by=mo, code="CF-DATA-SHIFT", statement="A new channel opened.")
    before.move("false_positive", by=people[name], note="Season.", at=month + timedelta(days=1))
    found = drift(f"Drift for the {name}", system)
    engine.advance(triggers.start(look, found, by=mo).pk)
    drift(f"Twin for the {name}", system)
from playbooks.models import Approval
print("waiting:", Approval.objects.filter(decision="pending").count())
"""


class Desk:
    """Where the tasks of one person are done: hands, and the address of the incident that burns."""

    def __init__(self, hands: Hands, incident: str) -> None:
        self.hands, self.page, self.incident = hands, hands.page, incident

    @property
    def name(self) -> str:
        return self.hands.name

    def told(self, text: str) -> None:
        """The page says so."""
        self.page.get_by_text(text).first.wait_for()


def sign_in(hands: Hands) -> None:
    page = hands.page
    page.goto("/")
    page.get_by_label("User name").fill(hands.name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("header.top")


def declare(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(page.locator("main").get_by_role("link", name="Declare an incident"))
    hands.write(page.locator("input[name=title]"), f"Declared with the {desk.name}")
    hands.choose(page.locator("select[name=system]"), f"Recommendations {desk.name}")
    hands.press(page.locator("main").get_by_role("button", name="Declare", exact=True))
    desk.told(" is open.")


def acknowledge(desk: Desk) -> None:
    desk.hands.press(desk.page.get_by_role("button", name="Acknowledge", exact=True))
    desk.page.get_by_text("Acknowledged.", exact=True).wait_for()


def triage(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(page.get_by_role("link", name="Severity", exact=True))
    for answer in ("impact_OP", "urgency_harm"):
        hands.press(page.locator(f"input[name={answer}]").first)
        page.wait_for_load_state("networkidle")  # the result beside it is drawn again
    hands.press(page.get_by_role("button", name="Save", exact=True))
    desk.told("Severity SEV")
    hands.press(page.locator("#next").get_by_role("button", name="Triage", exact=False).first)
    desk.told("is now triaged")


def run_and_approve(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    if page.locator("#start-playbook:not([open])").count():
        hands.press(page.locator("#start-playbook > summary"))
    hands.press(page.locator("#start-playbook a", has_text="Serve the fallback").first)
    hands.press(page.locator("main button[name=then][value=start]"))
    page.wait_for_url("**/runs/*/")
    hands.press(page.locator("main a[href*='/approvals/']").first)
    hands.press(page.locator("button[value=approve]"))
    desk.told("Approved. The run goes on.")


def answer_a_form(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(
        page.locator(".asks", has_text="Look at the dashboards").locator("a[href*='/approvals/']").first
    )
    hands.write(page.locator("#decide").get_by_label("Finding"), "Income is higher since Monday.")
    hands.press(page.get_by_role("button", name="Answer", exact=True))
    desk.told("Answered. The run goes on.")


def merge_and_undo(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    key = desk.incident.rstrip("/").rpartition("/")[2]
    hands.press(page.locator("#move-merge_into > summary"))
    hands.write(page.locator("#move-merge_into input[name=merge_into-into]"), key)
    hands.write(page.locator("#move-merge_into [name=merge_into-note]"), "The same drift.")
    hands.press(page.locator("#move-merge_into button[type=submit]"))
    desk.told("is now merged")
    hands.press(page.locator("#events").get_by_role("button", name="undo").first)
    page.locator(".message", has_text="Merged → Detected").or_(
        page.locator("#status", has_text="Detected")
    ).first.wait_for()


def hand_over(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(page.locator("#hand-over > summary"))
    hands.choose(page.locator("#hand-over select[name=owner]"), "Bob")
    hands.write(page.locator("#hand-over [name=note]"), "The fallback serves; watch income.")
    hands.press(page.locator("#hand-over button[type=submit]"))
    desk.told("Bob has command.")


def write_an_update(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(page.locator("#draft-0 > summary"))
    hands.write(page.locator("#draft-text-0"), f"The {desk.name} writes: the fallback serves, nobody is hit.")
    hands.press(page.locator("#draft-0").get_by_role("button", name="Told in these words"))
    desk.told("Noted that")


def find_last_months(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    entry = page.locator("#similar li", has_text=f"Last month of the {desk.name}")
    hands.press(entry.locator("summary"))
    entry.get_by_text("Cause: A new channel opened.").wait_for()
    hands.press(entry.get_by_role("link"))
    page.wait_for_selector(f"h1:has-text('Last month of the {desk.name}')")


def edit_and_publish(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(page.locator("main a.main", has_text=f"Notes of the {desk.name}"))
    hands.press(page.locator("main").get_by_role("link", name="Edit", exact=True))
    hands.add(page.locator("textarea[name=source]"), "# Every word of it.")
    hands.leave()
    hands.write(page.locator("input[name=note]"), "All of it.")
    hands.press(page.get_by_role("button", name="Save and publish"))
    desk.told("Version 2 is published")


def connect_slack(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(page.locator("main").get_by_role("link", name="New connection").first)
    hands.press(page.locator("a[href$='?provider=slack']"))
    hands.write(page.get_by_label("Name", exact=True), f"Slack of the {desk.name}")
    hands.write(page.locator("input[name=bot_token]"), "xoxb-1-not-a-real-one")
    hands.write(page.locator("input[name=channel]"), "C0123456789")
    hands.press(page.get_by_role("button", name="Connect", exact=True))
    page.get_by_role("heading", name=f"Slack of the {desk.name}").first.wait_for()


def export_a_postmortem(desk: Desk) -> None:
    hands, page = desk.hands, desk.page
    hands.press(page.get_by_role("link", name="Post-mortem", exact=True))
    with page.expect_download() as kept:
        hands.press(page.get_by_role("navigation", name="Export").get_by_role("link", name="PDF", exact=True))
    assert Path(kept.value.path()).read_bytes().startswith(b"%PDF-")


#: what is to be done, where it begins (an address, or the first word of an incident's title), on which screen
TASKS: list[tuple[str, Callable[[Desk], None], str, dict[str, int]]] = [
    ("declare an incident", declare, "/", WIDE),
    ("acknowledge from a phone", acknowledge, "Drift", PHONE),
    ("triage with the matrix", triage, "Drift", WIDE),
    ("run and approve", run_and_approve, "Drift", WIDE),
    ("answer a form", answer_a_form, "Drift", WIDE),
    ("merge and undo", merge_and_undo, "Twin", WIDE),
    ("write an update", write_an_update, "Drift", WIDE),
    ("find last month's similar", find_last_months, "Drift", WIDE),
    ("hand over", hand_over, "Drift", WIDE),
    ("edit and publish a playbook", edit_and_publish, "/playbooks/", WIDE),
    ("connect Slack", connect_slack, "/connections/", WIDE),
    ("export a post-mortem", export_a_postmortem, "Drift", WIDE),
]


def address_of(hands: Hands, title: str) -> str:
    hands.page.goto("/incidents/?view=all&q=" + title.split()[0])
    href = hands.page.locator("main a.main", has_text=title).first.get_attribute("href")
    assert href
    return href


def test_the_twelve_main_tasks_by_mouse_and_by_keyboard_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: dict[str, list[str]] = {title: [] for title, *_ in TASKS}
    with embedded(tmp_path) as home, browser() as started:
        assert "waiting: 2" in home.python(SEED)
        url = home.webs[0].url
        for kind in (Mouse, Keyboard):
            window = started.new_context(base_url=url, viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
            window.set_default_timeout(60_000)
            page = window.new_page()
            watch = Watch(url)
            watch.follow(page)
            hands = kind(page)
            sign_in(hands)
            desk = Desk(hands, address_of(hands, f"Drift for the {hands.name}"))
            for title, task, begin, screen in TASKS:
                page.set_viewport_size(screen)  # type: ignore[arg-type]
                page.goto(
                    begin if begin.startswith("/") else address_of(hands, f"{begin} for the {hands.name}")
                )
                hands.steps, began = 0, time.monotonic()
                try:
                    task(desk)
                except Error as error:
                    said = page.inner_text("main")[:3000]
                    raise AssertionError(f"{title} by {kind.name} on {page.url}: {error}\n{said}") from error
                taken[title].append(f"{hands.steps:4} {time.monotonic() - began:5.1f} s")
            assert not watch.complaints, f"{kind.name}: {watch.complaints}"
            window.close()
    with capsys.disabled():
        print(f"\n{'task':30} {'mouse':>12}  {'keyboard':>12}   (clicks or keys, time)")
        for title, numbers in taken.items():
            print(f"{title:30} {'  '.join(f'{one:>12}' for one in numbers)}")
    assert all(len(numbers) == 2 for numbers in taken.values())
