"""set_flag at flag services of three shapes, each described by the paths of its connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from integrations.actions.set_flag import SetFlag
from integrations.connecting import BadSettings, connect
from playbooks.contract import ActionError
from tests.integrations.data_scenes import acted, by_hand, kept, nearby, outputs
from tests.integrations.local import reply, server
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]

#: Switches by posting to …/on and …/off, as Unleash does; a patch of operations, as LaunchDarkly; the whole
#: document written back, as a file that flagd watches.
UNLEASH = {
    "token": "s3cr3t",
    "read_path": "api/admin/projects/default/features/{flag}/environments/{environment}",
    "value_path": "enabled",
    "write_path": "api/admin/projects/default/features/{flag}/environments/{environment}/{state}",
    "write_method": "POST",
    "write_body": {},
}
LAUNCHDARKLY = {
    "token": "s3cr3t",
    "read_path": "api/v2/flags/shop/{flag}",
    "value_path": "environments.{environment}.on",
    "write_method": "PATCH",
    "write_body": [{"op": "replace", "path": "/environments/{environment}/on", "value": "{value}"}],
}
FLAGD = {
    "token": "s3cr3t",
    "scheme": "Bearer",
    "read_path": "flags.json",
    "value_path": "flags['{flag}'].state",
    "on_value": "ENABLED",
    "off_value": "DISABLED",
}
SHAPES = {"unleash": UNLEASH, "launchdarkly": LAUNCHDARKLY, "flagd": FLAGD}


class Service:
    """A service that knows the flag ai-answers, on in production, in all three shapes."""

    def __init__(self) -> None:
        self.on = True
        self.lies = False
        self.tokens: set[str] = set()
        self.other = {"state": "ENABLED"}

    def handle(self, request: BaseHTTPRequestHandler, body: Any) -> tuple[int, Any]:
        self.tokens.add(request.headers["Authorization"])
        path, wanted = request.path.partition("?")[0], self.on
        match request.command, path.strip("/").split("/"):
            case _, [
                "api",
                "admin",
                "projects",
                "default",
                "features",
                "ai-answers",
                "environments",
                "production",
                *more,
            ]:
                if request.command == "POST":
                    wanted = more == ["on"]
                answer: Any = {"name": "production", "enabled": self.on}
            case _, ["api", "v2", "flags", "shop", "ai-answers"]:
                if request.command == "PATCH":
                    assert body[0]["path"] == "/environments/production/on"
                    wanted = body[0]["value"]
                answer = {"key": "ai-answers", "environments": {"production": {"on": self.on}}}
            case _, ["flags.json"]:
                if request.command == "PUT":
                    assert body["flags"]["other"] == self.other
                    wanted = body["flags"]["ai-answers"]["state"] == "ENABLED"
                state = "ENABLED" if self.on else "DISABLED"
                answer = {
                    "flags": {"ai-answers": {"state": state, "variants": {"a": 1}}, "other": self.other}
                }
            case _:
                return 404, {"message": "no such flag"}
        if not self.lies:
            self.on = wanted
        return 200, answer


@contextmanager
def service(shape: str) -> Iterator[Service]:
    made = Service()

    def handle(request: BaseHTTPRequestHandler) -> None:
        body = json.loads(seen[-1][3] or b"null")
        status, answer = made.handle(request, body)
        reply(status, json.dumps(answer).encode())(request)

    with server(handle) as (url, seen):
        connect("feature_flags", "flags", {"base_url": url, **SHAPES[shape]})
        yield made


OFF = {"flag": "ai-answers", "value": False}
every = pytest.mark.parametrize("shape", SHAPES)


@every
def test_a_feature_is_switched_off_and_read_back(shape: str) -> None:
    with service(shape) as flags:
        run = acted("set_flag", OFF)
        assert run.state == "succeeded", run.reason
        assert flags.on is False
        assert flags.tokens == {"Bearer s3cr3t" if shape == "flagd" else "s3cr3t"}
    assert outputs(run) == {**OFF, "before": True}
    assert kept(run, "before.json") == {"value": True}
    assert step(run, "A-1").verified == {"value": False}


@every
def test_what_did_not_help_is_switched_on_again(shape: str) -> None:
    with service(shape) as flags:
        run = acted("set_flag", OFF, helps=False)
        assert "Undone: A-1." in run.reason
        assert flags.on is True


@every
def test_a_service_that_says_yes_and_does_nothing_is_caught(shape: str) -> None:
    with service(shape) as flags:
        flags.lies = True
        run = acted("set_flag", OFF)
    assert run.state == "failed"
    assert "could not be read back: The flag ai-answers should be false and is true" in run.reason


@every
def test_a_flag_that_is_not_there_is_never_written(shape: str) -> None:
    with service(shape), pytest.raises(ActionError, match=r"404|has no flag 'nothing'"):
        SetFlag().precheck(by_hand(flag="nothing", value=False))


def test_a_name_cannot_lead_elsewhere() -> None:
    with service("unleash"), pytest.raises(ActionError, match="404"):
        SetFlag().precheck(by_hand(flag="../../../other", value=False))


def test_a_value_path_is_checked_when_the_connection_is_made() -> None:
    with pytest.raises(BadSettings, match="must name something"):
        connect(
            "feature_flags", "f", {"base_url": "https://f.example.org", "read_path": "x", "value_path": "=on"}
        )
