"""Single sign-on: who comes in, which roles their groups bring, and what a forged or foreign answer meets."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from config.sign_in import oidc, people
from config.sign_in.models import Identity, Session
from incidents.models import Event, RoleGrant, User
from integrations.contract import SendError
from tests.config.sign_in_scenes import ISSUER, US, code_of, is_in, provider, sign_on, with_app
from tests.integrations.tokens import token
from tests.scenes import person, system

pytestmark = pytest.mark.django_db


def roles(name: str) -> set[tuple[str, str]]:
    grants = RoleGrant.objects.filter(user__username=name).select_related("system")
    return {(grant.role, grant.system.slug if grant.system else "") for grant in grants}


def reason(answer: Any) -> str:
    assert answer.status_code == 403, answer.status_code
    found: str = answer.content.decode()
    assert "You are not signed in" in found
    return found


# --- the way there and back ----------------------------------------------------------------------------


def test_the_button_is_there_when_single_sign_on_is_set_up_and_the_form_when_passwords_are(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "/login/sso/" not in Client().get("/login/").content.decode()
    provider(monkeypatch, settings)
    settings.HOLDFAST_OIDC_NAME = "Keycloak"
    both = Client().get("/login/?next=/runs/").content.decode()
    assert 'href="/login/sso/?next=%2Fruns%2F"' in both
    assert "Sign in with Keycloak" in both
    assert "id_password" in both
    settings.HOLDFAST_LOCAL_PASSWORDS = "none"
    assert "id_password" not in Client().get("/login/").content.decode()


def test_ann_comes_back_signed_in_where_she_wanted_to_go(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(monkeypatch, settings)
    ann = person("ann", "IC", email="Ann@Example.org")
    client = Client()
    answer = sign_on(client, there, next="/incidents/?q=1")
    assert (answer.status_code, answer["Location"]) == (302, "/incidents/?q=1")
    assert is_in(client)
    assert Identity.objects.get().user == ann
    assert Session.objects.get(user=ann).way == "single sign-on"
    assert Event.objects.get(kind="sign_in.identity_linked").data["user"] == "ann"


def test_the_question_carries_state_nonce_and_a_challenge_and_leaves_for_the_provider_alone(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider(monkeypatch, settings)
    led = Client().get("/login/sso/", {"next": "https://evil.example/"})["Location"]
    assert led.startswith(f"{ISSUER}/auth?")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(led).query).items()}
    assert asked["redirect_uri"] == "http://testserver/login/sso/callback/"
    assert (asked["scope"], asked["code_challenge_method"]) == ("openid profile email", "S256")
    assert min(len(asked["state"]), len(asked["nonce"]), len(asked["code_challenge"])) >= 32
    assert "evil" not in led


def test_nobody_is_led_to_another_site_after_coming_back(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    assert sign_on(Client(), there, next="https://evil.example/")["Location"] == "/"


def test_the_subject_is_known_again_when_the_address_changes(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    sign_on(Client(), there)
    there.claims["email"] = "ann.new@example.org"
    client = Client()
    sign_on(client, there)
    assert is_in(client)
    assert User.objects.get().identities.get().email == "ann.new@example.org"


def test_the_secret_goes_to_the_token_address_alone(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = provider(monkeypatch, settings)
    settings.HOLDFAST_OIDC_CLIENT_SECRET = "a:b/c"
    person("ann", email="ann@example.org")
    sign_on(Client(), there)
    with_secret = [r for r in there.asked if "Authorization" in r.headers]
    assert [urlsplit(r.url).path for r in with_secret] == ["/token"]
    assert base64.b64decode(with_secret[0].headers["Authorization"][6:]) == f"{US}:a%3Ab%2Fc".encode()


# --- what is not let in --------------------------------------------------------------------------------


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    attacker, victim = Client(), Client()
    answer = there.consent(attacker.get("/login/sso/")["Location"])
    victim.get("/login/sso/")
    assert "did not begin in this browser" in reason(victim.get("/login/sso/callback/", answer))
    assert "did not begin in this browser" in reason(
        victim.get("/login/sso/callback/", {**answer, "state": ""})
    )
    assert not is_in(victim)


def test_an_answer_counts_once(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    client = Client()
    answer = there.consent(client.get("/login/sso/")["Location"])
    assert client.get("/login/sso/callback/", answer).status_code == 302
    client.logout()
    assert "used already" in reason(client.get("/login/sso/callback/", answer))


def test_who_takes_too_long_at_the_provider_starts_again(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(monkeypatch, settings)
    client = Client()
    answer = there.consent(client.get("/login/sso/")["Location"])
    monkeypatch.setattr(oidc, "PATIENCE", -1.0)
    assert "took too long" in reason(client.get("/login/sso/callback/", answer))


FOREIGN = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(("twisted", "said"), [
    ({"exp": int(time.time()) - 3600}, "expired"),
    ({"aud": "another-app"}, "Audience"),
    ({"iss": "https://other.example.org"}, "issuer"),
    ({"nonce": "another"}, "another sign-in"),
    ({"nonce": None}, "another sign-in"),
    ({"azp": "another-app"}, "another application"),
    ({"aud": ["another-app", US]}, "another application"),
    ({"sub": ""}, "who you are"),
])  # fmt: skip
def test_a_token_that_is_not_for_this_sign_in_opens_nothing(
    settings: Any, monkeypatch: pytest.MonkeyPatch, twisted: dict[str, Any], said: str
) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    there.twisted = twisted
    client = Client()
    assert said in reason(sign_on(client, there))
    assert not is_in(client)


@pytest.mark.parametrize(
    "forged", ["unsigned", "shared secret", "foreign key", "unknown key", "no token", "nonsense"]
)
def test_a_token_that_the_provider_did_not_sign_opens_nothing(
    settings: Any, monkeypatch: pytest.MonkeyPatch, forged: str
) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    claims = {"iss": ISSUER, "aud": US, **there.claims}
    client = Client()
    led = client.get("/login/sso/")["Location"]
    claims["nonce"] = parse_qs(urlsplit(led).query)["nonce"][0]
    there.raw = {
        "unsigned": token(algorithm="none", key=None, **claims),
        "shared secret": token(algorithm="HS256", key="not told, and long enough for the library", **claims),
        "foreign key": token(key=FOREIGN, **claims),
        "unknown key": token(kid="k9", **claims),
        "no token": " ",
        "nonsense": "a.b.c",
    }[forged]
    assert "token" in reason(client.get("/login/sso/callback/", there.consent(led)))
    assert not is_in(client)


def test_what_the_provider_refuses_is_told_and_cannot_carry_markup(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider(monkeypatch, settings)
    client = Client()
    state = parse_qs(urlsplit(client.get("/login/sso/")["Location"]).query)["state"][0]
    query = {"state": state, "error": "access_denied", "error_description": "<b>Not you</b>"}
    page = reason(client.get("/login/sso/callback/", query))
    assert "&lt;b&gt;Not you&lt;/b&gt;" in page


def test_an_answer_of_another_provider_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = provider(monkeypatch, settings)
    client = Client()
    answer = there.consent(client.get("/login/sso/")["Location"])
    assert "another identity provider" in reason(
        client.get("/login/sso/callback/", {**answer, "iss": "https://other.example"})
    )


def test_a_provider_that_is_away_is_said_and_nothing_breaks(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(monkeypatch, settings)

    def away(*_: Any, **__: Any) -> Any:
        raise SendError("Could not reach id.example.org: the connection was refused.", retryable=True)

    monkeypatch.setattr("integrations.http.send", away)
    answer = Client().get("/login/sso/")
    assert answer.status_code == 502
    assert "the connection was refused" in answer.content.decode()
    assert there.asked == []


def test_a_discovery_document_of_another_issuer_is_not_believed(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider(monkeypatch, settings)
    settings.HOLDFAST_OIDC_ISSUER = "https://id.example.org/realms/ours"
    monkeypatch.setattr(oidc, "_answer", lambda *_a, **_k: type("R", (), {"json": {"issuer": ISSUER}})())
    assert f"calls itself {ISSUER}" in Client().get("/login/sso/").content.decode()


# --- who is who ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [False, None, "false", 0])
def test_an_address_that_is_not_verified_opens_nobodys_account(
    settings: Any, monkeypatch: pytest.MonkeyPatch, flag: Any
) -> None:
    there = provider(monkeypatch, settings, email_verified=flag)
    settings.HOLDFAST_OIDC_NEW_PEOPLE = "all"
    person("ann", "IC", email="ann@example.org")
    client = Client()
    assert "does not vouch" in reason(sign_on(client, there))
    assert not is_in(client)
    assert Identity.objects.count() == 0


def test_an_operator_may_trust_addresses_of_a_provider_that_never_says(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOLDFAST_OIDC_TRUST_EMAILS = True
    there = provider(monkeypatch, settings)
    del there.claims["email_verified"]
    person("ann", email="ann@example.org")
    client = Client()
    sign_on(client, there)
    assert is_in(client)
    there.claims |= {"sub": "s-2", "email": "bob@example.org", "email_verified": False}
    person("bob", email="bob@example.org")
    assert "does not vouch" in reason(sign_on(Client(), there))


def test_a_second_identity_does_not_take_an_account_over(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    sign_on(Client(), there)
    there.claims["sub"] = "s-2"
    assert "another identity" in reason(sign_on(Client(), there))


def test_an_address_of_two_accounts_is_nobodys(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org")
    person("anna", email="ann@example.org")
    assert "Several accounts" in reason(sign_on(Client(), there))


@pytest.mark.parametrize(
    ("fields", "said"), [({"is_active": False}, "closed"), ({"is_service": True}, "service")]
)
def test_closed_and_service_accounts_stay_outside(
    settings: Any, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], said: str
) -> None:
    there = provider(monkeypatch, settings)
    person("ann", email="ann@example.org", **fields)
    assert said in reason(sign_on(Client(), there))
    assert "ann@example.org was refused" in Event.objects.get(kind="sign_in.refused").text


@pytest.mark.parametrize(("rule", "groups", "welcome"), [
    ("nobody", ["sre"], False), ("mapped", ["others"], False), ("mapped", ["sre"], True), ("all", [], True),
])  # fmt: skip
def test_who_gets_an_account_at_the_first_sign_on(
    settings: Any, monkeypatch: pytest.MonkeyPatch, rule: str, groups: list[str], welcome: bool
) -> None:
    there = provider(monkeypatch, settings, groups=groups, preferred_username="ann", name="Ann Berg")
    settings.HOLDFAST_OIDC_NEW_PEOPLE, settings.HOLDFAST_OIDC_ROLES = rule, ["sre=SRE"]
    client = Client()
    answer = sign_on(client, there)
    assert is_in(client) is welcome
    if welcome:
        ann = User.objects.get()
        assert (ann.username, ann.display_name, ann.email, ann.has_usable_password()) == (
            "ann",
            "Ann Berg",
            "ann@example.org",
            False,
        )
    else:
        assert "You have no account here" in reason(answer)
        assert not User.objects.exists()


def test_a_new_person_never_gets_the_name_of_somebody_else(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = provider(
        monkeypatch, settings, preferred_username="ROOT", email="x@example.org", email_verified=False
    )
    settings.HOLDFAST_OIDC_NEW_PEOPLE = "all"
    User.objects.create_superuser("root")
    sign_on(Client(), there)
    made = User.objects.get(identities__subject="s-1")
    assert (made.username, made.is_superuser, made.email) == ("ROOT-2", False, "")


@pytest.mark.parametrize("told", ["Ann Berg <ann>", "ann\x00b", "é" * 300, "../../x", ""])
def test_strange_names_become_usable_ones(settings: Any, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    there = provider(monkeypatch, settings, preferred_username=told)
    settings.HOLDFAST_OIDC_NEW_PEOPLE = "all"
    client = Client()
    sign_on(client, there)
    assert is_in(client)
    User.objects.get().full_clean(exclude=["password"])


# --- roles ---------------------------------------------------------------------------------------------


def test_roles_follow_the_groups_at_each_sign_on_and_those_given_by_hand_stay(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    system("credit-risk")
    settings.HOLDFAST_OIDC_ROLES = ["sre=SRE", "risk=MRC+DPO", "credit=MO@credit-risk", "lost=MO@nowhere"]
    there = provider(monkeypatch, settings, groups=["sre", "credit", "lost", "others"])
    person("ann", "IC", "MRC", email="ann@example.org")
    sign_on(Client(), there)
    assert roles("ann") == {("IC", ""), ("MRC", ""), ("SRE", ""), ("MO", "credit-risk")}
    there.claims["groups"] = ["risk"]
    sign_on(Client(), there)
    assert roles("ann") == {("IC", ""), ("MRC", ""), ("DPO", "")}
    there.claims["groups"] = []
    sign_on(Client(), there)
    assert roles("ann") == {("IC", ""), ("MRC", "")}
    said = list(
        Event.objects.filter(kind__startswith="sign_in.role").order_by("id").values_list("kind", "text")
    )
    assert said[:2] == [
        ("sign_in.role_given", "ann is SRE: the group sre brings it."),
        ("sign_in.role_given", "ann is MO on Credit Risk: the group credit brings it."),
    ]
    assert sum(kind == "sign_in.role_taken" for kind, _ in said) == 3


def test_a_provider_that_tells_no_groups_takes_what_groups_brought(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOLDFAST_OIDC_ROLES = ["sre=SRE"]
    there = provider(monkeypatch, settings, groups=["sre"])
    person("ann", email="ann@example.org")
    sign_on(Client(), there)
    del there.claims["groups"]
    sign_on(Client(), there)
    assert roles("ann") == set()


def test_without_a_mapping_no_role_is_touched(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = provider(monkeypatch, settings, groups=["sre"])
    ann = person("ann", "IC", email="ann@example.org")
    RoleGrant.objects.create(user=ann, role="SRE", source=ISSUER)
    sign_on(Client(), there)
    assert roles("ann") == {("IC", ""), ("SRE", "")}


def test_the_group_of_administrators_opens_and_closes_the_console(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOLDFAST_OIDC_ROLES = ["admins=ADM"]
    there = provider(monkeypatch, settings, groups=["admins"])
    person("ann", email="ann@example.org")
    client = Client()
    sign_on(client, there, next="/admin/")
    assert client.get("/admin/").status_code == 200
    there.claims["groups"] = []
    sign_on(Client(), there)
    assert client.get("/admin/").status_code == 302
    assert not User.objects.get().is_staff


def test_staff_by_hand_stays_staff(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HOLDFAST_OIDC_ROLES = ["admins=ADM"]
    there = provider(monkeypatch, settings, groups=["admins"])
    person("ann", email="ann@example.org", is_staff=True)
    sign_on(Client(), there)
    there.claims["groups"] = []
    sign_on(Client(), there)
    assert User.objects.get().is_staff


def test_groups_left_to_userinfo_are_read_there_for_the_same_subject_only(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOLDFAST_OIDC_ROLES = ["sre=SRE"]
    there = provider(monkeypatch, settings)
    del there.claims["groups"]
    there.userinfo = {"groups": ["sre"], "email": "evil@example.org"}
    person("ann", email="ann@example.org")
    sign_on(Client(), there)
    assert roles("ann") == {("SRE", "")}
    assert User.objects.get().identities.get().email == "ann@example.org"
    there.userinfo = {"sub": "s-9", "groups": ["sre"]}
    assert "somebody else" in reason(sign_on(Client(), there))


@pytest.mark.parametrize(("claim", "claims", "found"), [
    ("groups", {"groups": ["a", "b"]}, ["a", "b"]),
    ("groups", {"groups": "a"}, ["a"]),
    ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, ["a"]),
    ("https://example.org/groups", {"https://example.org/groups": ["a"]}, ["a"]),
    ("groups", {}, []),
    ("groups", {"groups": {"a": 1}}, []),
    ("realm_access.roles", {"realm_access": "x"}, []),
])  # fmt: skip
def test_where_providers_keep_groups(
    settings: Any, claim: str, claims: dict[str, Any], found: list[str]
) -> None:
    settings.HOLDFAST_OIDC_GROUPS_CLAIM = claim
    assert people.groups_of(claims) == found


@pytest.mark.parametrize("entry", ["sre", "=SRE", "sre=", " = "])
def test_a_mapping_that_maps_nothing_is_said(entry: str) -> None:
    with pytest.raises(ValueError, match="group=ROLE"):
        people.mapping([entry])


# --- with a second factor ------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "amr", "asked"), [
    ("amr", ["pwd"], True), ("amr", ["pwd", "mfa"], False), ("amr", None, True), ("amr", "mfa", False),
    ("always", None, False), ("never", ["mfa"], True),
])  # fmt: skip
def test_whose_second_factor_counts(
    settings: Any, monkeypatch: pytest.MonkeyPatch, rule: str, amr: Any, asked: bool
) -> None:
    settings.HOLDFAST_OIDC_SECOND_FACTOR, settings.HOLDFAST_SECOND_FACTOR_FOR = rule, ["IC"]
    there = provider(monkeypatch, settings, amr=amr)
    ann = person("ann", "IC", email="ann@example.org")
    key = with_app(ann)
    client = Client()
    answer = sign_on(client, there)
    if asked:
        assert answer["Location"] == "/login/second-factor/"
        assert not is_in(client)
        assert client.post("/login/second-factor/", {"code": code_of(key)})["Location"] == "/incidents/"
    assert is_in(client)


def test_who_came_by_single_sign_on_without_any_second_factor_sets_one_up_where_it_is_demanded(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOLDFAST_SECOND_FACTOR_FOR = ["IC"]
    there = provider(monkeypatch, settings)
    person("ann", "IC", email="ann@example.org")
    client = Client()
    sign_on(client, there)
    assert client.get("/incidents/")["Location"].startswith("/settings/sign-in/")
