"""Headers, cookies, sign-in throttle, settings that do not fit together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from csp.context_processors import nonce
from csp.middleware import CSPMiddleware
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from tests.processes import ROOT, installation_env


def settings_with(tmp_path: Any, *names: str, **environment: str) -> dict[str, Any]:
    """Values of the product's own settings in a process with this environment."""
    code = f"import json; from config import settings as s; print(json.dumps({{n: getattr(s, n) for n in {names!r}}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=installation_env(tmp_path, environment), cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.django_db
def test_a_page_carries_a_policy_without_anything_unsafe() -> None:
    first = Client().get("/login/")
    policy = first["Content-Security-Policy"]
    assert "unsafe-" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "object-src 'none'" in policy
    assert first["X-Frame-Options"] == "DENY"
    assert first["X-Content-Type-Options"] == "nosniff"
    assert first["Referrer-Policy"] == "same-origin"


def test_a_nonce_that_a_page_uses_stands_in_the_policy() -> None:
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(nonce(request)["CSP_NONCE"]))

    def policy() -> str:
        answer = CSPMiddleware(page)(RequestFactory().get("/"))
        assert isinstance(answer, HttpResponse)
        return answer["Content-Security-Policy"]

    policies = [policy(), policy()]
    found = [set(re.findall(r"'nonce-([^']+)'", policy)) for policy in policies]
    assert len(found[0]) == 1
    assert found[0] != found[1]


@pytest.mark.once
def test_an_https_address_turns_on_hsts_and_secure_cookies(tmp_path: Any) -> None:
    names = (
        "SECURE_HSTS_SECONDS",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "CSRF_TRUSTED_ORIGINS",
        "ALLOWED_HOSTS",
    )
    found = settings_with(tmp_path, *names, HOLDFAST_BASE_URL="https://holdfast.example.org/")
    assert found["SECURE_HSTS_SECONDS"] >= 31536000
    assert found["SESSION_COOKIE_SECURE"]
    assert found["CSRF_COOKIE_SECURE"]
    assert found["CSRF_TRUSTED_ORIGINS"] == ["https://holdfast.example.org"]
    assert "holdfast.example.org" in found["ALLOWED_HOSTS"]


@pytest.mark.once
def test_on_this_machine_cookies_work_without_https(tmp_path: Any) -> None:
    found = settings_with(tmp_path, "SECURE_HSTS_SECONDS", "SESSION_COOKIE_SECURE", "DEBUG")
    assert found == {"SECURE_HSTS_SECONDS": 0, "SESSION_COOKIE_SECURE": False, "DEBUG": False}


@pytest.mark.once
def test_a_wrong_value_stops_every_command_with_one_clear_sentence(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=installation_env(tmp_path, {"HOLDFAST_WORKER_THREADS": "plenty"}),
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "HOLDFAST_WORKER_THREADS is 'plenty': write a whole number from 1 to 64" in done.stderr


@pytest.mark.django_db
def test_guessing_a_password_is_slowed_down(settings: Any) -> None:
    get_user_model().objects.create_superuser("ann", "", "correct horse battery")
    client = Client(REMOTE_ADDR="203.0.113.9")
    answers = [
        client.post("/login/", {"username": "ann", "password": f"guess {n}"}).status_code
        for n in range(settings.AXES_FAILURE_LIMIT)
    ]
    assert answers[0] == 200
    locked = client.post("/login/", {"username": "ann", "password": "correct horse battery"})
    assert locked.status_code == 429
    elsewhere = Client(REMOTE_ADDR="203.0.113.10")
    assert (
        elsewhere.post("/login/", {"username": "ann", "password": "correct horse battery"}).status_code == 302
    )


def found_by_checks() -> set[str]:
    return {
        str(message.id)
        for message in run_checks(tags=["security"])
        if str(message.id).startswith("holdfast.")
    }


def test_sqlite_with_a_broker_is_refused_with_a_hint(settings: Any) -> None:
    settings.DATABASE_VENDOR, settings.EMBEDDED = "sqlite", False
    assert "holdfast.E001" in found_by_checks()


def test_several_web_processes_in_embedded_mode_are_refused(settings: Any) -> None:
    settings.EMBEDDED, settings.HOLDFAST_WEB_PROCESSES = True, 2
    assert "holdfast.E002" in found_by_checks()


def test_debug_pages_on_a_public_address_are_refused(settings: Any) -> None:
    settings.DEBUG, settings.HOLDFAST_BASE_URL = True, "https://holdfast.example.org"
    assert found_by_checks() >= {"holdfast.E003"}


def test_a_public_address_without_https_is_warned_about(settings: Any) -> None:
    settings.HOLDFAST_BASE_URL, settings.HTTPS = "http://holdfast.example.org", False
    assert "holdfast.W002" in found_by_checks()


def test_a_door_that_nobody_can_open_is_refused(settings: Any) -> None:
    settings.HOLDFAST_LOCAL_PASSWORDS = "none"
    assert "holdfast.E004" in found_by_checks()
    settings.HOLDFAST_OIDC_ISSUER, settings.HOLDFAST_OIDC_CLIENT_ID = "https://id.example.org", "holdfast"
    assert "holdfast.E004" not in found_by_checks()


def test_half_of_single_sign_on_is_refused(settings: Any) -> None:
    settings.HOLDFAST_OIDC_ISSUER = "https://id.example.org"
    assert "holdfast.E005" in found_by_checks()


@pytest.mark.parametrize("entry", ["sre", "sre=NOBODY", "sre=SRE+"])
def test_groups_that_bring_no_role_are_refused(settings: Any, entry: str) -> None:
    settings.HOLDFAST_OIDC_ROLES = [entry]
    assert "holdfast.E006" in found_by_checks()


def test_a_second_factor_for_nobodys_role_is_refused(settings: Any) -> None:
    settings.HOLDFAST_SECOND_FACTOR_FOR = ["IC", "BOSS"]
    assert "holdfast.E007" in found_by_checks()
    settings.HOLDFAST_SECOND_FACTOR_FOR = ["IC", "ADM"]
    assert "holdfast.E007" not in found_by_checks()


def test_an_identity_provider_without_tls_is_warned_about(settings: Any) -> None:
    settings.HOLDFAST_OIDC_ISSUER, settings.HOLDFAST_OIDC_CLIENT_ID = "http://id.example.org", "holdfast"
    assert "holdfast.W003" in found_by_checks()


def test_every_complaint_says_what_to_do(settings: Any) -> None:
    settings.DATABASE_VENDOR, settings.EMBEDDED, settings.DEBUG = "sqlite", False, True
    settings.HOLDFAST_BASE_URL, settings.HTTPS = "http://holdfast.example.org", False
    settings.HOLDFAST_LOCAL_PASSWORDS, settings.HOLDFAST_OIDC_CLIENT_ID = "none", "holdfast"
    settings.HOLDFAST_SECOND_FACTOR_FOR, settings.HOLDFAST_OIDC_ROLES = ["BOSS"], ["sre"]
    complaints = [m for m in run_checks(tags=["security"]) if str(m.id).startswith("holdfast.")]
    assert len(complaints) >= 7
    assert all(message.hint for message in complaints)


@pytest.mark.django_db
def test_static_addresses_change_with_their_content() -> None:
    page = Client().get("/login/").content.decode()
    address = re.findall(r'href="(/static/holdfast/holdfast\.css\?v=[0-9a-f]{10})"', page)
    assert len(address) == 1


@pytest.mark.once
def test_secrets_do_not_stay_in_the_servers_environment(tmp_path: Any) -> None:
    code = "import os, config.wsgi; print(sorted(n for n in os.environ if 'SECRET' in n or 'KEYS' in n))"
    environment = installation_env(
        tmp_path,
        {
            "HOLDFAST_SECRET_KEY": "x" * 40,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PATH": os.environ["PATH"],
        },
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
