"""Removes cached predictions or features by pattern, so that old scores do not outlive a roll-back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.platforms.before import tried_before
from integrations.platforms.redis_cache import cache_of
from integrations.platforms.settle import settled
from playbooks.contract import Action, Done, Exhibit, Param, StepContext, Unverified

SAMPLE = 50  #: keys whose description is kept


class FlushCache(Action):
    title = "Flush a cache"
    summary = (
        "Removes the keys of a Redis that match a pattern, never all of it, and looks that none is left."
    )
    params = (
        Param("pattern", help="As in SCAN MATCH; begins with the connection's prefix: scores:shop:*"),
        Param("connection", required=False, help="Redis connection. Default: the only one."),
        Param(
            "refill",
            "bool",
            required=False,
            default=False,
            help="True: keys that come back at once are fine.",
        ),
    )
    outputs = ("pattern", "found", "removed")
    risk = "R1"
    changes_world = True
    destroys_evidence = True
    timeout = 300.0

    def precheck(self, ctx: StepContext) -> None:
        with cache_of(ctx) as cache:
            cache.checked(str(ctx.params["pattern"]))

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        """How many keys there were, and a sample of them."""
        if tried_before(ctx):
            return ()
        pattern = str(ctx.params["pattern"])
        with cache_of(ctx) as cache:
            kept = {"pattern": pattern, "keys": cache.count(pattern), "sample": cache.sample(pattern, SAMPLE)}
        content = json.dumps(kept, indent=1, ensure_ascii=False).encode()
        return [
            Exhibit("cache.json", content, source=f"redis:{cache.name}", note=f"Keys of {pattern} before")
        ]

    def run(self, ctx: StepContext) -> Done:
        pattern = str(ctx.params["pattern"])
        with cache_of(ctx) as cache:
            found = cache.count(pattern)
            removed = cache.remove(pattern, ctx.renew)
        return Done(
            {"pattern": pattern, "found": found, "removed": removed},
            summary=f"{removed:,} keys of {pattern} were removed.",
        )

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """None is left; with `refill`, at least as many were removed as had been found."""
        pattern = str(outputs["pattern"])
        with cache_of(ctx) as cache:
            if ctx.params["refill"]:
                left, right = cache.count(pattern), outputs["removed"] >= outputs["found"]
            else:
                left, right = settled(ctx, lambda: cache.count(pattern), lambda seen: seen == 0)
        if not right:
            raise Unverified(
                f"{left:,} keys of {pattern} are in the cache. Whoever writes them goes on: stop it, or set `refill` "
                "when they come from the new model."
            )
        return {"left": left}

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Nothing is put back: a cache fills itself, and old scores are what was to be gone."""
        with cache_of(ctx) as cache:
            left = cache.count(str(outputs["pattern"]))
        return Done(
            {"left": left},
            summary=f"A cache fills itself; it holds {left:,} keys of {outputs['pattern']} now.",
        )
