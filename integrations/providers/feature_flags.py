"""A feature flag service, described by its paths: Unleash, LaunchDarkly, a flagd file behind HTTP, or your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.contract import Field, Provider
from integrations.paths import BadPath, Path


class FeatureFlags(Provider):
    title = "Feature flags (HTTP)"
    docs = "https://openfeature.dev/specification/glossary"
    summary = "Playbooks switch a feature, a capability or a tool off, and read the switch back."
    acting = True
    fields = (
        Field("base_url", "Address", "Paths are relative to it.", kind="url"),
        Field("token", "Token", secret=True, required=False),
        Field("header", "Header", "That carries the token.", default="Authorization"),
        Field(
            "scheme",
            "Before the token",
            "Such as Bearer; empty for Unleash and LaunchDarkly.",
            required=False,
        ),
        Field("environment", "Environment", "What {environment} stands for.", default="production"),
        Field("read_path", "Read path", "Where a flag is read; {flag} and {environment} are filled in."),
        Field(
            "value_path",
            "Value",
            "Where in that answer the value is, such as enabled or flags['{flag}'].state.",
        ),
        Field(
            "write_path",
            "Write path",
            "Where it is set; {state} is on or off. Default: the read path.",
            required=False,
        ),
        Field("write_method", "Method", kind="choice", choices=("PUT", "PATCH", "POST"), default="PUT"),
        Field(
            "write_body",
            "Body",
            "JSON with {value}. Empty: the answer as it was read, with the value changed.",
            kind="json",
            required=False,
        ),
        Field("write_type", "Content type", "Of the body.", default="application/json"),
        Field(
            "on_value", "Word for on", "Where the service says it in words, such as ENABLED.", required=False
        ),
        Field("off_value", "Word for off", "Such as DISABLED.", required=False),
    )
    idempotency = "A flag is set to a value: set twice, it has the same value."

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        if "value_path" not in settings:
            return {}
        try:
            path = Path.read(settings["value_path"])
        except BadPath as error:
            return {"value_path": str(error)}
        return {"value_path": "must name something in the answer"} if path.literal is not None else {}
