"""Settings explain themselves: what is read, what is refused, and what to write instead."""

from __future__ import annotations

import json
import stat
import threading
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from config.env import (
    Environment,
    chosen_by_up,
    mask_url,
    parse_database,
    remember_address,
    remembered_address,
)


def refused(read: object, **variables: str) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        read(Environment(variables))  # type: ignore[operator]
    return str(caught.value)


def test_an_unset_variable_has_its_default_and_is_told_as_such() -> None:
    env = Environment({})
    assert env.number("WORKERS", 4, help="how many") == 4
    assert env.variables["WORKERS"].default == "4"
    assert not env.variables["WORKERS"].from_environment


def test_an_empty_variable_counts_as_unset() -> None:
    assert Environment({"DEBUG": " "}).flag("DEBUG", True, help="") is True


@pytest.mark.parametrize(("raw", "value"), [("1", True), ("Yes", True), ("off", False), ("false", False)])
def test_flags_are_read_the_way_people_write_them(raw: str, value: bool) -> None:
    assert Environment({"DEBUG": raw}).flag("DEBUG", not value, help="") is value


def test_a_wrong_number_is_refused_with_the_name_the_value_and_what_to_write() -> None:
    message = refused(lambda env: env.number("WORKERS", 4, low=1, high=64, help="how many"), WORKERS="many")
    assert "WORKERS is 'many'" in message
    assert "a whole number from 1 to 64, for example 4" in message


def test_a_number_outside_its_range_is_refused() -> None:
    assert "from 1 to 64" in refused(
        lambda env: env.number("WORKERS", 4, low=1, high=64, help=""), WORKERS="0"
    )


def test_a_wrong_choice_lists_the_choices() -> None:
    message = refused(lambda env: env.choice("LEVEL", "INFO", ("INFO", "ERROR"), help=""), LEVEL="loud")
    assert "one of INFO, ERROR" in message


def test_choices_ignore_case() -> None:
    assert Environment({"LEVEL": "error"}).choice("LEVEL", "INFO", ("INFO", "ERROR"), help="") == "ERROR"


def test_networks_come_back_as_cidr_blocks_and_a_host_address_in_a_block_is_refused() -> None:
    assert Environment({"NETS": "10.0.0.0/8, 192.168.7.4"}).networks("NETS", help="") == [
        "10.0.0.0/8",
        "192.168.7.4/32",
    ]
    assert "CIDR" in refused(lambda env: env.networks("NETS", help=""), NETS="10.0.0.1/8")


@pytest.mark.parametrize("raw", ["holdfast.example.org", "ftp://x", "https://", "https://x/?a=1"])
def test_an_address_that_browsers_cannot_open_is_refused(raw: str) -> None:
    assert "https://holdfast.example.org" in refused(lambda env: env.web_address("URL", "", help=""), URL=raw)


def test_an_unknown_broker_is_refused_without_showing_its_password() -> None:
    message = refused(lambda env: env.broker("BROKER", "", help=""), BROKER="kafka://bob:hunter2@host")
    assert "hunter2" not in message
    assert "redis://host:6379/0" in message


def test_a_variable_is_read_in_one_place_only() -> None:
    env = Environment({})
    env.text("NAME", help="")
    with pytest.raises(ImproperlyConfigured, match="read twice"):
        env.text("NAME", help="")


def test_database_urls_become_what_django_needs() -> None:
    assert parse_database("sqlite:////srv/data/h.sqlite3") == {
        "vendor": "sqlite",
        "NAME": "/srv/data/h.sqlite3",
    }
    found = parse_database("postgresql://ann:p%40ss@db.example.org:5433/holdfast?sslmode=require")
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]) == (
        "ann", "p@ss", "db.example.org", "5433", "holdfast",
    )  # fmt: skip
    assert found["OPTIONS"] == {"sslmode": "require"}


@pytest.mark.parametrize(
    "raw", ["mysql://host/name", "postgresql://host", "sqlite:///", "sqlite://host/x", "nonsense"]
)
def test_a_database_url_that_leads_nowhere_is_refused(raw: str) -> None:
    assert "postgresql://user:password@host:5432/name" in refused(
        lambda env: env.database("DATABASE_URL", "sqlite:////x", help=""), DATABASE_URL=raw
    )


def test_passwords_in_urls_are_masked() -> None:
    assert mask_url("redis://:hunter2@host:6379/0") == "redis://:•••@host:6379/0"
    assert mask_url("memory://") == "memory://"


def make_secret(folder: Path) -> str:
    made = iter(range(1000))
    return Environment({}).secret(
        "KEY", folder / "deep" / "key", lambda: f"value-{next(made)}", lambda value: value, help=""
    )


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    assert make_secret(tmp_path) == make_secret(tmp_path) == "value-0"
    kept = tmp_path / "deep" / "key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["key"]


def test_two_first_starts_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def first_start(number: int) -> None:
        start.wait()
        env = Environment({})
        found.append(env.secret("KEY", tmp_path / "key", lambda: f"made by {number}", len, help=""))

    threads = [threading.Thread(target=first_start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_secret_from_the_environment_is_checked_and_never_shown(tmp_path: Path) -> None:
    def check(value: str) -> None:
        raise ValueError("too short")

    message = refused(
        lambda env: env.secret("KEY", tmp_path / "key", str, check, help="signs"), KEY="hunter2"
    )
    assert "KEY is a value that cannot be used" in message
    assert "hunter2" not in message
    assert not (tmp_path / "key").exists()


def test_a_folder_that_cannot_be_written_says_which_variable_helps(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImproperlyConfigured, match="Set KEY, or point HOLDFAST_DATA"):
        Environment({}).secret("KEY", tmp_path / "file" / "key", str, len, help="")


def test_up_chooses_the_folder_before_settings_are_read() -> None:
    assert chosen_by_up(["manage.py", "up", "--port", "9000", "--data", "here"]) == {"HOLDFAST_DATA": "here"}
    assert chosen_by_up(["manage.py", "up", "--data=here", "--demo"]) == {"HOLDFAST_DATA": "here"}
    assert chosen_by_up(["manage.py", "up"]) == {}
    assert chosen_by_up(["manage.py", "connect", "--data", "x"]) == {}


def test_the_address_of_the_last_start_is_remembered(tmp_path: Path) -> None:
    assert remembered_address(tmp_path) == ""
    remember_address(tmp_path, "http://127.0.0.1:9000")
    assert remembered_address(tmp_path) == "http://127.0.0.1:9000"


def test_the_settings_command_lists_every_fixed_name_and_no_secret() -> None:
    out = StringIO()
    call_command("settings", "--json", stdout=out)
    listed = {row["name"]: row for row in json.loads(out.getvalue())}
    assert set(listed) >= {
        "HOLDFAST_DATA", "DATABASE_URL", "HOLDFAST_BROKER_URL", "HOLDFAST_SECRET_KEY", "HOLDFAST_ENCRYPTION_KEYS",
        "HOLDFAST_BASE_URL", "HOLDFAST_ALLOWED_HOSTS", "HOLDFAST_EGRESS_ALLOW", "HOLDFAST_INBOUND_MAX_BYTES",
        "HOLDFAST_DATA_ROOTS", "HOLDFAST_LOG_LEVEL", "HOLDFAST_DEBUG",
    }  # fmt: skip
    assert "a secret key that only the tests use" not in out.getvalue()
    assert all(row["help"] and row["kind"] for row in listed.values())


def test_the_settings_table_shows_name_and_meaning() -> None:
    out = StringIO()
    call_command("settings", stdout=out)
    assert "HOLDFAST_EGRESS_ALLOW" in out.getvalue()
    assert "private networks" in out.getvalue()
