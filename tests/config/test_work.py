"""Production form for real: PostgreSQL and Redis, two web processes, a worker of its own, a broker that goes."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import HoldfastProcess, free_port, manage, wait_until
from tests.services import Postgres, Redis

#: A process that ends at once takes the waker's thread with it.
WAKE_AND_STAY = """
from config.waker import waker
from incidents.wake import wake
from tests.processes import wait_until
wake("nobody", 7)
wait_until(lambda: waker.published, 20, "the wake is published")
"""

pytestmark = [pytest.mark.once, pytest.mark.xdist_group("up")]


@pytest.fixture
def services() -> Iterator[tuple[Postgres, Redis]]:
    postgres = Postgres().start()
    redis = Redis().start()
    try:
        yield postgres, redis
    finally:
        redis.stop()
        postgres.stop()


def checks(web: HoldfastProcess) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(web.get("/readyz")[1])["checks"]
    return found


def counted(web: HoldfastProcess) -> float:
    text = web.get("/metrics")[1].decode()
    return sum(
        float(n) for n in re.findall(r'^holdfast_http_requests_total{.*"/healthz".*} (\S+)$', text, re.M)
    )


def test_web_and_worker_apart_say_what_is_missing_and_stop_in_order(
    tmp_path: Path, services: tuple[Postgres, Redis]
) -> None:
    postgres, redis = services
    env = {
        "DATABASE_URL": postgres.url("postgres"),
        "HOLDFAST_BROKER_URL": redis.url(),
        "HOLDFAST_WEB_PROCESSES": "2",
        "HOLDFAST_SECRET_KEY": "a secret key that only the tests use",
        "HOLDFAST_ENCRYPTION_KEYS": "YW4gZW5jcnlwdGlvbiBrZXkgZm9yIHRlc3RzIG9ubHk=",
    }
    port = free_port()
    with HoldfastProcess("up", "--port", str(port), data=tmp_path, env=env, port=port) as web:
        web.wait_ready()
        assert "holdfast.W001" not in web.output
        assert "No worker has reported" in str(checks(web)["worker"])

        with HoldfastProcess("work", data=tmp_path, env=env) as work:
            work.wait_line(r"worker \S+ ready")
            wait_until(lambda: web.get("/readyz")[0] == 200, 15, "the worker has reported")

            # both web processes are counted, whichever answers the scrape
            before = counted(web)
            for _ in range(20):
                assert web.get("/healthz")[0] == 200
            assert counted(web) == before + 20

            # a wake from a third process reaches the worker through Redis
            manage(tmp_path, "shell", "--no-imports", "-c", WAKE_AND_STAY, env=env)
            work.wait_line("nothing handles 'nobody'")

            redis.stop()
            wait_until(lambda: web.get("/readyz")[0] == 503, 10, "the lost broker is noticed")
            assert "The broker does not answer" in str(checks(web)["broker"])
            assert checks(web)["worker"]["ok"]
            assert web.get("/healthz")[0] == 200

            work.signal(signal.SIGTERM)
            asked = time.monotonic()
            assert work.wait(15) == 0
            assert time.monotonic() - asked < 10
        assert "No worker has reported" in str(checks(web)["worker"])
        assert web.terminate(15) == 0
