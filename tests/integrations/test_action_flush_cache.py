"""flush_cache at a real Redis: what an old model computed is gone, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_django.fixtures import Settings

from integrations.actions.flush_cache import FlushCache
from integrations.connecting import BadSettings, connect
from playbooks.contract import ActionError
from tests.integrations.data_scenes import acted, by_hand, kept, nearby, outputs
from tests.integrations.test_http import identity
from tests.playbooks.scenes import step
from tests.processes import free_port
from tests.services import Redis

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]
PARAMS = {"pattern": "scores:shop:*"}


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with Redis() as made:
        yield made


@pytest.fixture
def cache(server: Redis) -> Iterator[Any]:
    """1,200 scores and a session that has nothing to do with them."""
    with server.client(3) as client:
        client.flushdb()
        client.mset({f"scores:shop:{n}": f"0.{n}" for n in range(1200)})
        client.set("sessions:ann", "secret")
        connect(
            "redis_cache",
            "scores",
            {"host": "127.0.0.1", "port": server.port, "database": 3, "prefix": "scores:"},
        )
        yield client


def test_old_scores_are_gone_and_a_sample_is_kept(cache: Any) -> None:
    run = acted("flush_cache", PARAMS)
    assert run.state == "succeeded", run.reason
    assert cache.keys("*") == [b"sessions:ann"]
    assert outputs(run) == {"pattern": "scores:shop:*", "found": 1200, "removed": 1200}
    before = kept(run, "cache.json")
    assert (before["keys"], len(before["sample"])) == (1200, 50)
    assert before["sample"][0]["value"].startswith("0.")


def test_undoing_puts_no_old_score_back(cache: Any) -> None:
    run = acted("flush_cache", PARAMS, helps=False)
    assert "Undone: A-1." in run.reason
    assert "A cache fills itself" in step(run, "A-1").summary
    assert cache.keys("scores:*") == []


def test_a_writer_that_goes_on_is_noticed_unless_it_may(cache: Any, server: Redis) -> None:
    stop = threading.Event()

    def write() -> None:
        with server.client(3) as client:
            while not stop.is_set():
                client.set("scores:shop:7", "old")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run = acted("flush_cache", PARAMS)
        assert run.state == "failed"
        assert "1 keys of scores:shop:* are in the cache" in run.reason
        again = FlushCache().run(by_hand(**PARAMS, refill=True))
        assert FlushCache().verify(by_hand(**PARAMS, refill=True), again.outputs)["left"] <= 1
    finally:
        stop.set()
        writer.join()


def test_an_evidence_hold_keeps_the_cache(cache: Any) -> None:
    run = acted("flush_cache", PARAMS, hold=True)
    assert run.state == "failed"
    assert "An evidence hold is open" in run.reason
    assert len(cache.keys("scores:*")) == 1200


@pytest.mark.parametrize("pattern", ["*", "sessions:*", "", "scores", "[s]cores:*"])
def test_nothing_outside_of_the_prefix_is_ever_removed(cache: Any, pattern: str) -> None:
    with pytest.raises(ActionError, match="does not begin with 'scores:'"):
        FlushCache().precheck(by_hand(pattern=pattern))


def test_the_guard_holds_for_redis_too(cache: Any, settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = []
    with pytest.raises(ActionError, match=r"127\.0\.0\.1 is this machine itself") as caught:
        FlushCache().precheck(by_hand(**PARAMS))
    assert not caught.value.retryable


def test_a_redis_that_is_not_there_is_tried_again(cache: Any) -> None:
    connect("redis_cache", "scores", {"port": 1})
    with pytest.raises(ActionError, match="the connection was refused") as caught:
        FlushCache().precheck(by_hand(**PARAMS))
    assert caught.value.retryable


def test_a_wrong_password_is_said_and_not_shown(cache: Any, server: Redis) -> None:
    cache.config_set("requirepass", "right")
    try:
        connect("redis_cache", "scores", {"password": "s3cr3t-wrong"})
        with pytest.raises(ActionError, match="Check user, password and rights") as caught:
            FlushCache().precheck(by_hand(**PARAMS))
        assert "s3cr3t" not in str(caught.value)
    finally:
        with redis.Redis(port=server.port, password="right") as client:
            client.config_set("requirepass", "")


class OverTLS(Redis):
    """A Redis that also listens with the certificate in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.tls_port, self.certificate = free_port(), folder

    def command(self) -> list[Any]:
        files = (
            "--tls-cert-file",
            self.certificate / "cert.pem",
            "--tls-key-file",
            self.certificate / "key.pem",
        )
        return [*super().command(), "--tls-port", str(self.tls_port), *files, "--tls-auth-clients", "no"]


def test_tls_is_verified(tmp_path: Path, settings: Settings) -> None:
    bundle, _ = identity("localhost", tmp_path)
    with OverTLS(tmp_path) as made, made.client() as client:
        client.set("scores:shop:1", "0.1")
        there = {"host": "localhost", "port": made.tls_port, "tls": True, "prefix": "scores:"}
        connect("redis_cache", "scores", there)
        with pytest.raises(ActionError, match=r"did not answer.*certificate"):
            FlushCache().precheck(by_hand(**PARAMS))
        settings.HOLDFAST_CA_BUNDLE = bundle
        assert FlushCache().run(by_hand(**PARAMS)).outputs["removed"] == 1
        connect("redis_cache", "scores", {"host": "127.0.0.1"})
        with pytest.raises(ActionError, match=r"did not answer.*certificate"):
            FlushCache().precheck(by_hand(**PARAMS))


def test_a_prefix_is_taken_as_it_is_written() -> None:
    with pytest.raises(BadSettings, match="leave out"):
        connect("redis_cache", "all", {"host": "cache", "prefix": "*"})
