"""A monitor that was told 202 finds its message after the whole process tree was killed in the middle of work."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import uuid
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.processes import free_port, holdfast, manage, wait_until

KILLS = 3
SENDERS = 8


class Sender(threading.Thread):
    """Posts one alert after the other and remembers every receipt, through restarts."""

    def __init__(self, number: int, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.number, self.port, self.path = number, port, path
        self.receipts: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        sent = 0
        while not self.over.is_set():
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            # a killed server is a refused or broken connection: what was not answered is not counted
            with closing(line), suppress(OSError, http.client.HTTPException):
                while not self.over.is_set():
                    sent += 1
                    body = json.dumps({"title": f"alert {sent % 50} of {self.number}", "model": "churn"})
                    line.request("POST", self.path, body, {"Content-Type": "application/json"})
                    answer = line.getresponse()
                    told = answer.read()
                    if answer.status == 202:
                        self.receipts.append(json.loads(told)["receipt"])
            self.over.wait(0.05)


def messages(data: Path) -> dict[str, str]:
    """Status by receipt, read from the database file itself."""
    with closing(sqlite3.connect(f"file:{data / 'holdfast.sqlite3'}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT receipt, status FROM integrations_inboxmessage").fetchall()
    return {str(uuid.UUID(receipt)): status for receipt, status in rows}


def test_every_accepted_message_survives_kill_9_and_becomes_an_alert(tmp_path: Path) -> None:
    port = free_port()
    with holdfast(tmp_path, port=port):
        url = json.loads(manage(tmp_path, "connect", "generic", "storm", "--json"))["url"]
    senders = [Sender(number, port, urlsplit(url).path) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    for kill in range(1, KILLS + 1):
        with holdfast(tmp_path, port=port) as house:
            before = sum(len(sender.receipts) for sender in senders)
            wait_until(
                lambda before=before: sum(len(s.receipts) for s in senders) > before + 100, 60, "100 receipts"
            )
            house.kill()
        assert all(sender.is_alive() for sender in senders), kill
    for sender in senders:
        sender.over.set()
        sender.join(20)
    receipts = [receipt for sender in senders for receipt in sender.receipts]
    assert len(receipts) == len(set(receipts)) > 100 * KILLS
    with holdfast(tmp_path, port=port):
        kept = messages(tmp_path)
        assert set(receipts) <= set(kept), "a message was accepted and is gone"
        wait_until(lambda: set(messages(tmp_path).values()) == {"done"}, 60, "all messages are read")
