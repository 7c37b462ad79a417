"""Speaks to a feature flag service as its connection describes it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.paths import BadPath, Path
from integrations.platforms.account import Account, account_of
from integrations.platforms.rest import Rest, part
from playbooks.contract import ActionError, StepContext


@dataclass(frozen=True, slots=True)
class Flags:
    """One environment of a flag service."""

    rest: Rest
    account: Account = field(repr=False)
    environment: str

    def read(self, flag: str) -> tuple[Any, Any]:
        """The value of a flag, and the whole answer that it was found in. Raises ActionError."""
        path = self._path("read_path", flag)
        answer = self.rest.read(path)
        value = self._value_path(flag).find(answer, answer)
        if value is None:
            raise ActionError(
                f"{self.rest.vendor} has no flag {flag!r} at /{path}: correct its name, or `value_path` in the connection."
            )
        return self._plain(value), answer

    def write(self, flag: str, value: Any, answer: Any, key: str) -> None:
        """Ask for the flag to have this value; `answer` is what was read last."""
        said = self._said(value)
        body = self.account.settings.get("write_body")
        if body in (None, ""):
            body = self._changed(flag, answer, said)
        else:
            body = filled(body, {"flag": flag, "environment": self.environment, "value": said})
        method = self.account.text("write_method", "PUT")
        headers = {
            "Content-Type": self.account.text("write_type", "application/json"),
            "Idempotency-Key": key,
        }
        path = self._path("write_path" if self.account.text("write_path") else "read_path", flag, value)
        self.rest.ask(method, path, body, headers=headers)

    def _path(self, name: str, flag: str, value: Any = None) -> str:
        path = self.account.text(name).replace("{flag}", part(flag))
        path = path.replace("{environment}", part(self.environment))
        return path.replace("{state}", "on" if value else "off").lstrip("/")

    def _value_path(self, flag: str) -> Path:
        written = self.account.text("value_path")
        try:
            return Path.read(written.replace("{flag}", flag).replace("{environment}", self.environment))
        except BadPath as error:
            raise ActionError(f"`value_path` of {self.account.name} cannot be used: {error}") from error

    def _changed(self, flag: str, answer: Any, said: Any) -> Any:
        whole = copy.deepcopy(answer)
        here, steps = whole, self._value_path(flag).steps
        for step in steps[:-1]:
            here = here[step]
        here[steps[-1]] = said
        return whole

    def _said(self, value: Any) -> Any:
        words = {True: self.account.text("on_value"), False: self.account.text("off_value")}
        return (words[value] or value) if isinstance(value, bool) else value

    def _plain(self, found: Any) -> Any:
        for value in (True, False):
            if isinstance(found, str) and found == self._said(value):
                return value
        return found


def flags_of(ctx: StepContext) -> Flags:
    """The flag service of a step (see `account_of`). Raises ActionError."""
    account = account_of(ctx, "feature_flags")
    token = account.text("token")
    name = account.text("header", "Authorization")
    headers = {name: f"{account.text('scheme')} {token}".strip()} if token else {}
    rest = Rest(f"The flag service {account.name}", account.text("base_url"), headers, account.secrets)
    return Flags(
        rest, account, str(ctx.params.get("environment") or account.text("environment", "production"))
    )


def filled(body: Any, names: Mapping[str, Any]) -> Any:
    """The body with every `{name}` filled in; a text that is one name takes the value's own type."""
    if isinstance(body, Mapping):
        return {filled(key, names): filled(value, names) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(item, names) for item in body]
    if not isinstance(body, str):
        return body
    for name, value in names.items():
        if body == f"{{{name}}}":
            return value
        body = body.replace(f"{{{name}}}", str(value))
    return body
