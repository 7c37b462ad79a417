"""The audit log: what is in it, that nobody changes it unnoticed, who may read it."""

from __future__ import annotations

import csv
import io
import json
import threading
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.test import Client

from incidents import audit
from incidents.models import AuditEntry, Incident, RoleGrant
from incidents.models.audit import START, AppendOnly
from integrations import connecting
from tests.incidents.api import Caller
from tests.scenes import incident, person

pytestmark = pytest.mark.django_db


def kinds() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("kind", flat=True))


def sealed(count: int = 3) -> list[AuditEntry]:
    for n in range(count):
        audit.note("config.changed", f"Change {n}", actor="test", n=n, share=0.5)
    audit.seal()
    return list(AuditEntry.objects.order_by("seq"))


def test_sign_ins_good_and_bad_tell_who_and_from_where() -> None:
    person("ann", "IC")
    browser = Client(REMOTE_ADDR="10.1.2.3")
    browser.post("/login/", {"username": "ann", "password": "guess"})
    browser.post("/login/", {"username": "ann", "password": "correct horse battery"})
    browser.post("/logout/")
    rows = AuditEntry.objects.filter(kind__startswith="session.").order_by("id")
    assert [(row.kind, row.by and row.by.username, row.address) for row in rows] == [
        ("session.refused", None, "10.1.2.3"),
        ("session.opened", "ann", "10.1.2.3"),
        ("session.closed", "ann", "10.1.2.3"),
    ]
    assert rows[0].actor == "ann"


def test_a_right_given_in_the_console_tells_what_and_who_gave_it() -> None:
    ada, bob = person("ada", "ADM", is_staff=True), person("bob")
    browser = Client(REMOTE_ADDR="10.1.2.3")
    browser.force_login(ada)
    sent = {"user": bob.pk, "role": "SEC", "system": ""}
    assert browser.post("/admin/incidents/rolegrant/add/", sent).status_code == 302
    entry = AuditEntry.objects.get(kind="right.granted", data__user=bob.pk)
    assert (entry.text, entry.by, entry.address) == ("bob is SEC from now on.", ada, "10.1.2.3")
    RoleGrant.objects.get(user=bob).delete()
    assert AuditEntry.objects.get(kind="right.withdrawn").data["role"] == "SEC"
    assert "config.added" in kinds()


def test_tokens_connections_and_rotations_are_in_it() -> None:
    ada = person("ada", "ADM")
    Caller(ada)
    connecting.connect("alertmanager", "AM", by=ada)
    connecting.connect("alertmanager", "AM", rotate=True, by=ada)
    told = AuditEntry.objects.filter(kind="connection.changed").get()
    assert (told.by, told.data["rotated"]) == (ada, True)
    assert {"token.issued", "connection.created"} <= set(kinds())
    token = ada.tokens.get()
    token.revoke()
    assert kinds()[-1] == "token.revoked"


def test_an_entry_stays_with_its_change_or_not_at_all() -> None:
    bob = person("bob")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        RoleGrant.objects.create(user=bob, role="SEC")
        raise ZeroDivisionError
    assert kinds() == []


def test_neither_object_nor_database_lets_an_entry_be_changed_or_deleted() -> None:
    entry, *_ = sealed()
    for act in (entry.save, entry.delete):
        with pytest.raises(AppendOnly):
            act()
    waiting = audit.note("config.changed", "Not sealed yet", actor="test", n=1)
    for rows in (AuditEntry.objects.filter(pk=entry.pk), AuditEntry.objects.filter(pk=waiting.pk)):
        for change in ({"text": "Nothing happened"}, {"by": None, "actor": "x"}, {"data": {}}):
            with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
                rows.update(**change)
        with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
            rows._raw_delete(rows.db)
    with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(hash="0" * 64)


def test_the_chain_is_whole_and_its_hashes_can_be_computed_by_anybody() -> None:
    rows = sealed()
    assert [row.seq for row in rows] == [1, 2, 3]
    assert rows[0].before == START
    assert [row.before for row in rows[1:]] == [row.hash for row in rows[:-1]]
    found = audit.verify()
    assert (found.entries, found.head, found.wrong) == (3, rows[-1].hash, ())
    assert audit.verify(since=2).entries == 1


def _past_the_guard(sql: str) -> None:
    """What somebody with the database's password can do."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or rows just written keep the table as it is
            cursor.execute("ALTER TABLE incidents_auditentry DISABLE TRIGGER audit_entry_stays")
        else:
            cursor.execute("DROP TRIGGER audit_entry_stays")
            cursor.execute("DROP TRIGGER audit_entry_is_not_deleted")
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "UPDATE incidents_auditentry SET text = 'Nothing' WHERE seq = 2",
            "Entry 2 (config.changed) does not say",
        ),
        ("DELETE FROM incidents_auditentry WHERE seq = 2", "Entry 2 is missing; the next one is 3."),
        ("UPDATE incidents_auditentry SET seq = seq + 10 WHERE seq > 1", "Entry 2 is missing"),
    ],
)
def test_a_change_past_the_guards_is_noticed(sql: str, said: str) -> None:
    sealed()
    _past_the_guard(sql)
    assert any(one.startswith(said) for one in audit.verify().wrong)
    with pytest.raises(CommandError, match="not as it was written"):
        call_command("audit", "verify")


def test_a_cut_off_end_is_noticed_by_whoever_kept_the_head() -> None:
    rows = sealed()
    head = f"3:{rows[-1].hash}"
    out = StringIO()
    call_command("audit", "verify", "--expect", head, stdout=out)
    assert head in out.getvalue()
    _past_the_guard("DELETE FROM incidents_auditentry WHERE seq = 3")
    assert audit.verify().wrong == ()
    with pytest.raises(CommandError, match="cut off"):
        call_command("audit", "verify", "--expect", head)


def test_an_auditor_takes_the_chain_as_lines_and_as_a_table() -> None:
    sealed(2)
    audit.note("config.changed", "=1+1", actor="test")
    audit.seal()
    auditor = Client()
    auditor.force_login(person("uma", "AUD"))
    lines = b"".join(auditor.get("/audit/export/").streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    entries = [json.loads(line) for line in lines]
    assert [entry["seq"] for entry in entries[:3]] == [1, 2, 3]
    assert entries[1]["before"] == entries[0]["hash"]
    text = b"".join(auditor.get("/audit/export/?format=csv").streaming_content).decode()  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[2]["text"] == "'=1+1"
    assert AuditEntry.objects.filter(kind="export", by__username="uma").count() == 2
    out = StringIO()
    call_command("audit", "export", stdout=out)
    assert json.loads(out.getvalue().splitlines()[0])["hash"] == entries[0]["hash"]


def test_who_may_not_see_an_incident_reads_nothing_about_it_and_still_checks_the_chain() -> None:
    ann = person("ann", "IC")
    secret: Incident = incident(ann, title="Zebrafish", restricted=True)
    audit.note("evidence.read", "ann read “zebrafish.csv”.", by=ann, incident=secret)
    audit.seal()
    uma = person("uma", "AUD")
    browser, call = Client(), Caller(uma)
    browser.force_login(uma)
    for text in (
        browser.get("/audit/").content.decode(),
        b"".join(browser.get("/audit/export/").streaming_content).decode(),  # type: ignore[attr-defined]
        call.get("audit/").content.decode(),
    ):
        assert "ebrafish" not in text
        assert f'"{secret.key}"' not in text
    assert "evidence.read" not in call.get("audit/?kind=evidence.").content.decode()
    withheld = next(row for row in call.get("audit/").json()["results"] if row["kind"] == "withheld")
    assert len(withheld["content"]) == 64
    assert call.get("audit/verification/").json()["intact"] is True
    assert "Zebrafish" in Caller(person("sam", "SEC")).get(f"incidents/{secret.key}/").content.decode()
    assert "zebrafish.csv" in Caller(ann.__class__.objects.get(username="sam")).get("audit/").content.decode()


def test_engineers_and_commanders_do_not_read_the_log() -> None:
    for role in ("SRE", "IC", "EXE", "MRC"):
        user = person(role.lower(), role)
        browser = Client()
        browser.force_login(user)
        assert browser.get("/audit/").status_code == 403, role
        assert Caller(user).get("audit/").status_code == 403, role


@pytest.mark.django_db(transaction=True)
def test_writers_do_not_wait_for_each_other_and_each_gets_one_place() -> None:
    """One writes in a transaction that stays open; others write and are sealed meanwhile."""
    if connection.vendor == "sqlite":
        for n in range(4):
            audit.note("config.changed", f"Change {n}", actor="test")
        audit.seal()
    else:
        opened, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            with transaction.atomic():
                audit.note("config.changed", "Slow", actor="test")
                opened.set()
                go_on.wait(20)
            connections.close_all()

        writer = threading.Thread(target=slow)
        writer.start()
        assert opened.wait(20)
        for n in range(3):
            audit.note("config.changed", f"Change {n}", actor="test")
        assert audit.seal() == 3
        go_on.set()
        writer.join(20)
        assert audit.seal() == 1
        assert AuditEntry.objects.get(seq=4).text == "Slow"
    assert audit.verify().wrong == ()
    assert sorted(AuditEntry.objects.values_list("seq", flat=True)) == [1, 2, 3, 4]


def test_the_page_checks_the_chain_when_asked() -> None:
    sealed()
    browser = Client()
    browser.force_login(person("uma", "AUD"))
    audit.seal()
    page: Any = browser.get("/audit/?check=1").content.decode()
    assert "entries are as they were written" in page
    assert "Change 1" in browser.get("/audit/?by=test").content.decode()
    assert "Change 1" not in browser.get("/audit/?kind=session.").content.decode()
