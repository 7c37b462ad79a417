"""The door in a real browser: a passkey, an authenticator app by keyboard without scripts, and a real identity provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.peers.servers import oidc_server
from tests.processes import free_port
from tests.real.axe import violations
from tests.real.browser import WIDE, Watch, browser, measured, shortcomings
from tests.real.hands import Keyboard
from tests.real.installations import KEYS, Installation

pytestmark = [pytest.mark.once, pytest.mark.timeout(420)]

PASSWORD = "correct horse battery"
SEED = """
from incidents.models import RoleGrant, User
for name in ("ann", "bob", "cy"):
    user = User.objects.create_user(name, f"{name}@example.org", "correct horse battery", display_name=name.title())
    RoleGrant.objects.create(user=user, role="MLE")
"""
PEOPLE = (
    {
        "sub": "0815",
        "email": "dora@example.org",
        "email_verified": True,
        "name": "Dora",
        "groups": ["sre", "cooks"],
    },
    {
        "sub": "4711",
        "email": "bob@example.org",
        "email_verified": False,
        "name": "Mallory",
        "groups": ["sre"],
    },
)


@dataclass
class Place:
    """A running installation under a name (browsers make passkeys for names only), and a browser."""

    url: str
    started: Browser

    def window(self, scripts: bool = True) -> tuple[BrowserContext, Page]:
        window = self.started.new_context(
            base_url=self.url,
            viewport=WIDE,  # type: ignore[arg-type]
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        return window, window.new_page()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    port, data = free_port(), tmp_path_factory.mktemp("door")
    with oidc_server(*PEOPLE) as issuer:
        env = {
            **KEYS,
            "HOLDFAST_BASE_URL": f"http://localhost:{port}",
            "HOLDFAST_OIDC_ISSUER": issuer,
            "HOLDFAST_OIDC_CLIENT_ID": "holdfast",
            "HOLDFAST_OIDC_CLIENT_SECRET": "between us",
            "HOLDFAST_OIDC_NAME": "the company account",
            "HOLDFAST_OIDC_ROLES": "sre=SRE,risk=MRC",
        }
        home = Installation(Path(data), env, [], [])
        with home.start_web(port) as web:
            web.wait_ready(180)
            home.python(SEED)
            with browser() as started:
                yield Place(f"http://localhost:{port}", started)


def first_step(page: Page, name: str) -> None:
    page.goto("/login/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("main form button[type=submit]")


def authenticator(window: BrowserContext, page: Page) -> None:
    """A device with a fingerprint reader, as far as the browser knows."""
    session = window.new_cdp_session(page)
    session.send("WebAuthn.enable")
    device = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}  # fmt: skip
    session.send("WebAuthn.addVirtualAuthenticator", {"options": device})


def add_passkey(page: Page, name: str) -> None:
    page.goto("/settings/sign-in/passkey/")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make a passkey").click()


def wrong_with(page: Page) -> list[str]:
    return shortcomings(measured(page)) + violations(page)


def test_a_passkey_opens_its_owners_account_and_no_other(place: Place) -> None:
    window, page = place.window()
    authenticator(window, page)
    watch = Watch(place.url)
    watch.follow(page)

    first_step(page, "ann")
    page.wait_for_selector("header.top")
    page.goto("/settings/sign-in/passkey/")
    assert wrong_with(page) == []
    add_passkey(page, "Ann's laptop")
    page.get_by_role("heading", name="Recovery codes").wait_for()
    assert page.locator(".recovery li").count() == 10
    assert wrong_with(page) == []
    page.get_by_role("button", name="Sign out").click()

    first_step(page, "ann")
    page.wait_for_url("**/login/second-factor/")
    assert wrong_with(page) == []
    anns = json.loads(page.locator("#passkey-options").inner_text())["allowCredentials"]
    sent: list[str] = []
    page.on(
        "request", lambda request: sent.append(request.post_data or "") if request.method == "POST" else None
    )
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_selector("header.top")
    page.goto("/settings/sign-in/")
    assert wrong_with(page) == []
    assert page.get_by_text("Ann's laptop").count() == 1
    page.get_by_role("button", name="Sign out").first.click()

    first_step(page, "bob")
    page.wait_for_selector("header.top")
    add_passkey(page, "Bob's laptop")
    page.get_by_role("heading", name="Recovery codes").wait_for()
    page.get_by_role("button", name="Sign out").click()
    first_step(page, "bob")
    page.wait_for_url("**/login/second-factor/")
    # Bob's browser is made to sign with Ann's passkey
    page.evaluate(
        """keys => { const node = document.getElementById('passkey-options'); const asked = JSON.parse(node.textContent);
           asked.allowCredentials = keys; node.textContent = JSON.stringify(asked); }""",
        anns,
    )
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_text("This passkey does not belong to you here").wait_for()
    # what Ann's device once signed is sent again
    answer = next(text for text in sent if "passkey=" in text)
    page.evaluate(
        """answer => { const form = document.querySelector('form[data-passkey]');
           form.elements.passkey.value = new URLSearchParams(answer).get('passkey'); form.requestSubmit(); }""",
        answer,
    )
    page.get_by_text("This passkey does not belong to you here").wait_for()
    page.goto("/incidents/")
    assert "/login/" in page.url
    assert watch.complaints == []
    window.close()


def test_an_authenticator_app_is_set_up_and_used_by_keyboard_without_scripts(place: Place) -> None:
    window, page = place.window(scripts=False)
    hands = Keyboard(page)
    page.goto("/login/?next=/settings/sign-in/authenticator/")
    hands.write(page.get_by_label("User name"), "cy")
    hands.write(page.get_by_label("Password"), PASSWORD)
    hands.press(page.get_by_role("button", name="Sign in", exact=True))
    key = page.locator(".secret code").inner_text().replace(" ", "")
    assert page.locator("svg.qr").count() == 1
    hands.write(page.get_by_label("The code that the app shows now"), pyotp.TOTP(key).now())
    hands.press(page.get_by_role("button", name="Set it up"))
    recovery = page.locator(".recovery li").first.inner_text()
    hands.press(page.get_by_role("button", name="Sign out"))

    hands.write(page.get_by_label("User name"), "cy")
    hands.write(page.get_by_label("Password"), PASSWORD)
    hands.press(page.get_by_role("button", name="Sign in", exact=True))
    field = page.get_by_label("Code of your authenticator app")
    hands.write(field, "000000")
    hands.press(page.get_by_role("button", name="Continue"))
    assert "not right" in page.locator("[role=alert]").inner_text()
    hands.write(field, recovery)
    hands.press(page.get_by_role("button", name="Continue"))
    page.wait_for_selector("header.top")
    window.close()


def test_a_real_identity_provider_brings_somebody_and_their_roles_and_refuses_with_a_reason(
    place: Place,
) -> None:
    window, page = place.window()
    page.goto("/login/?next=/settings/")
    assert wrong_with(page) == []
    page.get_by_role("link", name="Sign in with the company account").click()
    page.get_by_role("button", name="4711").click()
    page.get_by_role("heading", name="You are not signed in").wait_for()
    assert "does not vouch" in page.locator("[role=alert]").inner_text()
    assert wrong_with(page) == []

    page.get_by_role("link", name="Back to sign-in").click()
    page.get_by_role("link", name="Sign in with the company account").click()
    page.get_by_role("button", name="Deny").click()
    # this provider leaves the state out of a refusal, so whose it is cannot be known
    page.get_by_role("heading", name="You are not signed in").wait_for()

    page.goto("/login/?next=/settings/")
    page.get_by_role("link", name="Sign in with the company account").click()
    page.get_by_role("button", name="0815").click()
    page.wait_for_selector("header.top")
    assert page.url == f"{place.url}/settings/"
    assert page.locator("header .who").get_by_text("Dora").count() == 1
    assert page.get_by_text("Platform engineer").count() == 1
    page.goto("/settings/sign-in/")
    assert page.get_by_text("by single sign-on").count() == 1
    assert page.get_by_label("Present password").count() == 0
    window.close()
