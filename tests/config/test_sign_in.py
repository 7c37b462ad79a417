"""The door: passwords, second factors, recovery codes, sessions, and what an administrator demands or resets."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.test import Client
from django.urls import reverse

from config.sign_in import entering, factors, sessions
from config.sign_in.models import RecoveryCode, SecondFactor, Session
from incidents.models import ApiToken, Event, RoleGrant, User
from integrations.secrets import unseal
from tests.config.sign_in_scenes import (
    PASSWORD,
    code_of,
    codes_for,
    first_step,
    is_in,
    long_ago,
    with_app,
)
from tests.scenes import person

pytestmark = pytest.mark.django_db


def signed_in(name: str, **headers: str) -> Client:
    client = Client(**headers)  # type: ignore[arg-type]
    assert first_step(client, name).status_code == 302
    return client


# --- the first step ------------------------------------------------------------------------------------


def test_a_password_opens_the_door_and_leads_to_where_the_person_wanted_to_go() -> None:
    person("ann", "IC")
    client = Client()
    answer = first_step(client, "ann", next="/incidents/?q=1")
    assert (answer.status_code, answer["Location"]) == (302, "/incidents/?q=1")
    assert is_in(client)


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example", "http:evil"],
)
def test_nobody_is_led_to_another_site(elsewhere: str) -> None:
    person("ann", "IC")
    client = Client()
    assert first_step(client, "ann", next=elsewhere)["Location"] == "/"
    assert client.get("/login/", {"next": elsewhere})["Location"] == "/"


def test_a_wrong_password_says_so_and_opens_nothing() -> None:
    person("ann")
    client = Client()
    answer = first_step(client, "ann", "wrong")
    assert "correct username and password" in answer.content.decode()
    assert not is_in(client)


def test_the_console_has_no_door_of_its_own() -> None:
    person("ada", "ADM", is_staff=True)
    client = Client()
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/login/?next=%2Fadmin%2F"
    assert client.post("/admin/login/", {"username": "ada", "password": PASSWORD})["Location"].startswith(
        "/login/"
    )
    assert not is_in(client)
    assert first_step(client, "ada", next="/admin/")["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_who_is_signed_in_but_not_staff_is_told_so_by_the_console() -> None:
    person("ann", "IC")
    answer = signed_in("ann").get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "marked as staff" in answer.content.decode()


@pytest.mark.parametrize(
    ("rule", "ann", "root"), [("all", True, True), ("superusers", False, True), ("none", False, False)]
)
def test_local_passwords_work_for_whom_they_are_left(settings: Any, rule: str, ann: bool, root: bool) -> None:
    person("ann", "IC")
    User.objects.create_superuser("root", password=PASSWORD)
    settings.HOLDFAST_LOCAL_PASSWORDS = rule
    for name, welcome in (("ann", ann), ("root", root)):
        client = Client()
        first_step(client, name)
        assert is_in(client) is welcome, name


def test_sessions_that_began_with_a_password_end_when_passwords_are_turned_off(settings: Any) -> None:
    person("ann", "IC")
    client = signed_in("ann")
    settings.HOLDFAST_LOCAL_PASSWORDS = "none"
    assert not is_in(client)


# --- the second step -----------------------------------------------------------------------------------


def test_with_an_app_the_password_alone_opens_nothing_and_its_code_does() -> None:
    key = with_app(person("ann", "IC"))
    client = Client()
    assert first_step(client, "ann", next="/runs/")["Location"] == "/login/second-factor/"
    assert not is_in(client)
    assert client.get("/api/v1/incidents/").status_code in (401, 403)
    page = client.get("/login/second-factor/").content.decode()
    assert 'autocomplete="one-time-code"' in page
    answer = client.post("/login/second-factor/", {"code": code_of(key)})
    assert (answer.status_code, answer["Location"]) == (302, "/runs/")
    assert is_in(client)


def test_a_code_counts_once_in_every_browser() -> None:
    key = with_app(person("ann", "IC"))
    code = code_of(key)
    first, second = Client(), Client()
    for client in (first, second):
        first_step(client, "ann")
    assert first.post("/login/second-factor/", {"code": code}).status_code == 302
    again = second.post("/login/second-factor/", {"code": code})
    assert "already used" in again.content.decode()
    assert not is_in(second)


@pytest.mark.parametrize("later", [-3, 3])
def test_codes_of_another_time_are_refused(later: int) -> None:
    key = with_app(person("ann"))
    client = Client()
    first_step(client, "ann")
    client.post("/login/second-factor/", {"code": code_of(key, later)})
    assert not is_in(client)


@pytest.mark.parametrize("code", ["", "000", "abcdef", "９９９９９９", "1" * 5000, "\x00"])
def test_what_is_no_code_is_refused_as_one(code: str) -> None:
    with_app(person("ann"))
    client = Client()
    first_step(client, "ann")
    answer = client.post("/login/second-factor/", {"code": code})
    assert answer.status_code == 200
    assert "not right" in answer.content.decode()


def test_a_recovery_code_opens_the_door_once_and_the_record_says_so() -> None:
    ann = person("ann", "IC")
    with_app(ann)
    code = codes_for(ann)[0]
    client = Client()
    first_step(client, "ann")
    assert client.post("/login/second-factor/", {"code": code.upper().replace("-", " ")}).status_code == 302
    assert is_in(client)
    other = Client()
    first_step(other, "ann")
    other.post("/login/second-factor/", {"code": code})
    assert not is_in(other)
    assert (
        Event.objects.get(kind="sign_in.recovery_code_used").text
        == "ann signed in with a recovery code; 9 are left."
    )


def test_recovery_codes_are_kept_as_hashes_and_only_open_their_owners_account() -> None:
    ann, bob = person("ann"), person("bob")
    with_app(ann), with_app(bob)
    code = codes_for(ann)[0]
    assert code not in "".join(RecoveryCode.objects.values_list("digest", flat=True))
    client = Client()
    first_step(client, "bob")
    client.post("/login/second-factor/", {"code": code})
    assert not is_in(client)


def test_the_key_of_an_app_is_kept_encrypted() -> None:
    key = with_app(person("ann"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM config_secondfactor")
        assert key not in cursor.fetchone()[0]
    assert SecondFactor.objects.get().secret["key"] == key


def test_with_a_lost_encryption_key_a_recovery_code_still_opens_the_door(settings: Any) -> None:
    ann = person("ann")
    key = with_app(ann)
    code = codes_for(ann)[0]
    settings.HOLDFAST_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    client = Client()
    first_step(client, "ann")
    assert "not right" in client.post("/login/second-factor/", {"code": code_of(key)}).content.decode()
    assert client.post("/login/second-factor/", {"code": code}).status_code == 302
    assert is_in(client)


def test_nobody_reaches_the_second_step_without_the_first() -> None:
    with_app(person("ann"))
    assert Client().get("/login/second-factor/")["Location"] == "/login/"
    assert Client().post("/login/second-factor/", {"code": "123456"})["Location"] == "/login/"


def test_who_dawdles_between_the_steps_starts_again() -> None:
    key = with_app(person("ann"))
    client = Client()
    first_step(client, "ann")
    session = client.session
    session[entering.WAITING] = {**session[entering.WAITING], "at": 0}
    session.save()
    assert client.post("/login/second-factor/", {"code": code_of(key)})["Location"] == "/login/"
    assert not is_in(client)


def test_guessing_codes_is_slowed_down_from_every_address_and_passwords_are_not_touched(
    settings: Any,
) -> None:
    key = with_app(person("ann", "IC"))
    client = Client(REMOTE_ADDR="203.0.113.9")
    first_step(client, "ann")
    answers = [
        client.post("/login/second-factor/", {"code": "000000"}) for _ in range(settings.AXES_FAILURE_LIMIT)
    ]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    elsewhere = Client(REMOTE_ADDR="203.0.113.10")
    assert first_step(elsewhere, "ann")["Location"] == "/login/second-factor/"
    locked = elsewhere.post("/login/second-factor/", {"code": code_of(key)})
    assert locked.status_code == 429
    assert "15 minutes" in locked.content.decode()
    assert not is_in(elsewhere)


def test_wrong_codes_do_not_add_up_over_successful_sign_ins(settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    ann = person("ann")
    with_app(ann)
    codes = codes_for(ann)
    for code in codes[:3]:
        client = Client()
        first_step(client, "ann")
        client.post("/login/second-factor/", {"code": "000000"})
        assert client.post("/login/second-factor/", {"code": code}).status_code == 302


# --- setting up ----------------------------------------------------------------------------------------


def test_an_app_is_set_up_with_its_first_code_and_recovery_codes_are_shown_once() -> None:
    ann = person("ann", "IC")
    client = signed_in("ann")
    page = client.get("/settings/sign-in/authenticator/").content.decode()
    assert "<svg" in page
    key = unseal(client.session["totp_key"])
    wrong = client.post("/settings/sign-in/authenticator/", {"code": "000000"})
    assert wrong.status_code == 422
    done = client.post("/settings/sign-in/authenticator/", {"code": code_of(key), "name": "My phone"})
    assert done.content.decode().count("<li><code>") == 10
    assert done["Cache-Control"].count("no-store") == 1
    assert [factor.name for factor in ann.second_factors.all()] == ["My phone"]
    assert factors.codes_left(ann) == 10
    assert "My phone" in client.get("/settings/").content.decode()
    assert Event.objects.filter(kind="sign_in.factor_added", by=ann).exists()
    out = Client()
    first_step(out, "ann")
    # the code of the set-up is used up
    out.post("/login/second-factor/", {"code": code_of(key)})
    assert not is_in(out)


def test_how_somebody_signs_in_is_not_changed_at_a_screen_they_left() -> None:
    person("ann")
    client = signed_in("ann")
    long_ago(client, entering.ENTERED)
    assert client.get("/settings/sign-in/authenticator/")["Location"] == "/settings/sign-in/again/"
    assert "Sign in again" in client.get("/settings/sign-in/again/").content.decode()


def test_with_a_second_factor_it_is_shown_again_before_another_is_removed() -> None:
    ann = person("ann")
    key = with_app(ann)
    client = Client()
    first_step(client, "ann")
    client.post("/login/second-factor/", {"code": code_of(key, -1)})
    long_ago(client, entering.ENTERED, factors.PROVED)
    removal = reverse("my_factor_removal", args=[ann.second_factors.get().pk])
    assert client.post(removal)["Location"] == "/login/second-factor/?next=%2Fsettings%2Fsign-in%2F"
    assert ann.second_factors.count() == 1
    assert (
        client.post("/login/second-factor/", {"code": code_of(key), "next": "/settings/sign-in/"})["Location"]
        == "/settings/sign-in/"
    )
    assert client.post(removal).status_code == 302
    assert not factors.has(ann)


def test_with_the_last_factor_the_recovery_codes_go_and_nobody_removes_anothers() -> None:
    ann, bob = person("ann"), person("bob")
    with_app(ann), codes_for(ann)
    with_app(bob)
    client = Client()
    client.force_login(ann)
    session = client.session
    session[factors.PROVED] = 10**11
    session.save()
    assert client.post(reverse("my_factor_removal", args=[bob.second_factors.get().pk])).status_code == 404
    assert client.post(reverse("my_factor_removal", args=[ann.second_factors.get().pk])).status_code == 302
    assert (factors.has(ann), factors.codes_left(ann), factors.has(bob)) == (False, 0, True)


# --- what is demanded ----------------------------------------------------------------------------------


def test_a_demanded_factor_is_set_up_before_anything_else_opens(settings: Any) -> None:
    settings.HOLDFAST_SECOND_FACTOR_FOR = ["IC", "ADM"]
    ann = person("ann", "IC")
    client = signed_in("ann")
    assert client.get("/incidents/")["Location"] == "/settings/sign-in/?next=%2Fincidents%2F"
    assert client.get("/admin/")["Location"].startswith("/settings/sign-in/")
    assert client.get("/api/v1/incidents/").status_code == 403
    assert client.get("/incidents/", headers={"HX-Request": "true"}).status_code == 401
    page = client.get("/settings/sign-in/?next=/incidents/").content.decode()
    assert "Your role asks for a second factor." in page
    client.get("/settings/sign-in/authenticator/")
    done = client.post(
        "/settings/sign-in/authenticator/", {"code": code_of(unseal(client.session["totp_key"]))}
    )
    assert 'href="/incidents/"' in done.content.decode()
    assert client.get("/incidents/").status_code == 200
    assert factors.has(ann)


@pytest.mark.parametrize(("roles", "fields", "asked"), [
    (("IC",), {}, True), (("MLE",), {}, False), ((), {"is_superuser": True}, True), (("IC",), {"is_service": True}, False),
])  # fmt: skip
def test_who_is_asked_for_a_second_factor(
    settings: Any, roles: tuple[str, ...], fields: dict[str, Any], asked: bool
) -> None:
    settings.HOLDFAST_SECOND_FACTOR_FOR = ["IC", "ADM"]
    assert factors.demanded(person("ann", *roles, **fields)) is asked
    settings.HOLDFAST_SECOND_FACTOR_FOR = ["all"]
    assert factors.demanded(User.objects.get()) is not fields.get("is_service", False)


def test_a_role_given_during_a_session_asks_for_the_factor_at_once_and_an_old_session_shows_it(
    settings: Any,
) -> None:
    ann = person("ann", "MLE")
    client = signed_in("ann")
    key = with_app(ann)  # added in another browser
    settings.HOLDFAST_SECOND_FACTOR_FOR = ["IC"]
    assert client.get("/incidents/").status_code == 200
    RoleGrant.objects.create(user=ann, role="IC")
    assert client.get("/incidents/")["Location"] == "/login/second-factor/?next=%2Fincidents%2F"
    assert client.get("/settings/sign-in/")["Location"].startswith("/login/second-factor/")
    client.post("/login/second-factor/", {"code": code_of(key), "next": "/incidents/"})
    assert client.get("/incidents/").status_code == 200


def test_api_tokens_know_no_second_factor(settings: Any) -> None:
    settings.HOLDFAST_SECOND_FACTOR_FOR, settings.HOLDFAST_LOCAL_PASSWORDS = ["all"], "none"
    ann = person("ann", "IC")
    with_app(ann)
    _, plain = ApiToken.issue(ann, "script")
    assert Client().get("/api/v1/incidents/", headers={"Authorization": f"Bearer {plain}"}).status_code == 200


def test_an_administrator_resets_a_lost_factor_and_the_record_says_who() -> None:
    ann = person("ann", "IC")
    key = with_app(ann)
    codes_for(ann)
    lost = Client()
    first_step(lost, "ann")
    lost.post("/login/second-factor/", {"code": code_of(key)})
    admin = Client()
    admin.force_login(person("ada", "ADM", is_staff=True))
    rows = reverse("admin:config_secondfactor_changelist")
    page = admin.get(rows).content.decode()
    assert "Phone" in page
    assert key not in page
    one = ann.second_factors.get().pk
    assert key not in admin.get(reverse("admin:config_secondfactor_change", args=[one])).content.decode()
    admin.post(rows, {"action": "reset", "_selected_action": [one]})
    assert (factors.has(ann), factors.codes_left(ann), is_in(lost)) == (False, 0, False)
    said = Event.objects.get(kind="sign_in.factors_reset")
    assert (said.by and said.by.username, said.text) == ("ada", "ada reset the second factor of ann.")


def test_an_administrator_does_not_reset_a_superusers_factor() -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    with_app(root)
    admin = Client()
    admin.force_login(person("ada", "ADM", is_staff=True))
    rows = reverse("admin:config_secondfactor_changelist")
    admin.post(rows, {"action": "reset", "_selected_action": [root.second_factors.get().pk]})
    assert factors.has(root)


# --- sessions and password ---------------------------------------------------------------------------------


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"


def test_somebody_sees_their_browsers_and_signs_one_or_all_others_out() -> None:
    ann = person("ann")
    signed_in_here = signed_in("ann", HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="203.0.113.4")
    phone = signed_in("ann", HTTP_USER_AGENT=SAFARI, REMOTE_ADDR="203.0.113.5")
    third = signed_in("ann")
    stranger = signed_in(person("bob").username)
    page = signed_in_here.get("/settings/sign-in/").content.decode()
    assert "Firefox on Linux" in page
    assert "Safari on iPhone" in page
    assert "203.0.113.5" in page
    assert not [row.session_key for row in Session.objects.all() if row.session_key in page]
    here = signed_in_here.session.session_key
    other = next(one for one in sessions.browsers(ann, here) if one.device == "Safari on iPhone")
    assert stranger.post(reverse("my_session_end", args=[other.name])).status_code == 404
    assert is_in(phone)
    signed_in_here.post(reverse("my_session_end", args=[other.name]))
    assert [is_in(one) for one in (signed_in_here, phone, third, stranger)] == [True, False, True, True]
    signed_in_here.post(reverse("my_sessions_end"))
    assert [is_in(one) for one in (signed_in_here, third, stranger)] == [True, False, True]


def test_changing_the_password_ends_the_other_sessions_and_keeps_this_one() -> None:
    ann = person("ann")
    here, other = signed_in("ann"), signed_in("ann")
    new = {"new_password1": "a staple in the rain", "new_password2": "a staple in the rain"}
    refused = here.post("/settings/sign-in/password/", {"present": "wrong", **new})
    assert refused.status_code == 422
    assert "not your present password" in refused.content.decode()
    weak = here.post(
        "/settings/sign-in/password/", {"present": PASSWORD, "new_password1": "1234", "new_password2": "1234"}
    )
    assert weak.status_code == 422
    assert here.post("/settings/sign-in/password/", {"present": PASSWORD, **new}).status_code == 302
    assert (is_in(here), is_in(other)) == (True, False)
    assert [one.here for one in sessions.browsers(User.objects.get(), here.session.session_key)] == [True]
    assert Event.objects.filter(kind="sign_in.password_changed", by=ann).exists()


def test_an_administrators_new_password_ends_all_sessions_also_in_the_list() -> None:
    ann = person("ann")
    client = signed_in("ann")
    ann.set_password("a staple in the rain")
    ann.save()
    assert not is_in(client)
    assert sessions.browsers(User.objects.get(), None) == []


def test_guesses_at_the_present_password_are_slowed_down(settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    person("ann")
    client = signed_in("ann")
    answers = [
        client.post("/settings/sign-in/password/", {"present": f"guess {n}"}).status_code for n in range(3)
    ]
    assert answers == [422, 422, 429]


def test_a_session_that_is_used_is_seen_once_a_minute() -> None:
    person("ann")
    client = signed_in("ann", REMOTE_ADDR="203.0.113.4")
    old = Session.objects.get().seen_at - 3 * sessions.TOUCH
    Session.objects.update(seen_at=old)
    client.get("/settings/", REMOTE_ADDR="203.0.113.77")
    row = Session.objects.get()
    assert (row.seen_at > old, row.address) == (True, "203.0.113.77")
    Session.objects.update(address="203.0.113.4")
    client.get("/settings/", REMOTE_ADDR="203.0.113.77")
    assert Session.objects.get().address == "203.0.113.4"


@pytest.mark.parametrize(
    ("agent", "words"),
    [(FIREFOX, "Firefox on Linux"), (SAFARI, "Safari on iPhone"), ("curl/8.1", "curl/8.1"), ("", "unknown")],
)
def test_a_browser_is_named_in_words(agent: str, words: str) -> None:
    assert sessions.device(agent) == words
