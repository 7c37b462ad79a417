"""`manage.py token`: who gets one, what it may do, and that it is shown once."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from incidents.models import ApiToken, User
from tests.scenes import person

pytestmark = pytest.mark.django_db


def token(*args: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("token", *args, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue().strip()


def test_a_known_user_gets_a_token_that_works_and_is_kept_only_as_a_hash() -> None:
    ann = person("ann", "IC")
    plain = token("ann")
    found = ApiToken.find(plain)
    assert found is not None
    assert found.user == ann
    assert found.scopes == ["act", "read", "write"]
    assert plain not in str(list(ApiToken.objects.values()))


def test_json_prints_the_token_alone() -> None:
    person("ann", "IC")
    assert ApiToken.find(json.loads(token("ann", "--json"))["token"])


def test_create_makes_the_user_with_the_role_and_no_password_and_may_be_repeated() -> None:
    token("robot", "--create", "SRE")
    token("robot", "--create", "SRE")
    robot = User.objects.get(username="robot")
    assert robot.role_codes() == {"SRE"}
    assert not robot.has_usable_password()
    assert robot.tokens.count() == 2


def test_an_administrators_token_may_change_connections() -> None:
    assert "admin" in ApiToken.find(token("root", "--create", "ADM")).scopes  # type: ignore[union-attr]


def test_scopes_name_and_end_are_as_asked() -> None:
    person("ann", "IC")
    found = ApiToken.find(token("ann", "--scopes", "read", "--name", "dashboard", "--expires-days", "7"))
    assert found is not None
    assert (found.scopes, found.name) == (["read"], "dashboard")
    assert found.expires_at is not None
    assert abs(found.expires_at - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nobody",), "--create ROLE"),
        (("nobody", "--create", "BOSS"), "no role 'BOSS'"),
        (("no body!", "--create", "IC"), "cannot be a username"),
        (("ann", "--scopes", "read,fly"), "fly is no scope"),
        (("ann", "--scopes", ","), "nothing is no scope"),
        (("ann", "--expires-days", "0"), "give 1 to"),
        (("gone",), "not active"),
    ],
)
def test_a_mistake_is_told_and_makes_nothing(args: tuple[str, ...], said: str) -> None:
    person("ann", "IC")
    person("gone", is_active=False)
    with pytest.raises(CommandError, match=said):
        token(*args)
    assert not ApiToken.objects.exists()
    assert not User.objects.filter(username__startswith="no").exists()
