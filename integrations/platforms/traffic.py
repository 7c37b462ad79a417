"""Moving traffic between model versions, the same careful way at every platform: look, change, wait, read back."""

from __future__ import annotations

import abc
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from integrations.gateway import Gateway, at
from integrations.platforms.before import exhibit_of, state_before, tried_before
from playbooks.contract import (
    Action,
    ActionError,
    Done,
    Exhibit,
    Outcome,
    Param,
    StepContext,
    Unverified,
    Wait,
)

PAUSES = (0.0, 0.3, 0.7, 1.5, 2.5)  #: seconds before each look: platforms take a moment to converge
UNDO_PAUSES = (*PAUSES, 5.0, 10.0, 10.0)  #: undoing waits in place; what takes longer is tried again
LOOK_AGAIN = timedelta(seconds=10)
TOLERANCE = 0.5  #: percentage points; platforms with relative weights round


@dataclass(frozen=True, slots=True)
class State:
    """What a platform says now. `shares` holds every version that could serve, by the platform's own name, in
    percent; `raw` is what undoing needs beyond them."""

    shares: Mapping[str, float]
    settled: bool = True  #: False while a change is under way
    failed: str = ""  #: why the platform gave the last change up
    raw: Mapping[str, Any] = field(default_factory=dict)
    etag: str = ""  #: of the state that was read, where the platform refuses to overwrite a newer one


class Place(ABC):
    """Where versions of one model serve: an endpoint, an inference service, an alias in a registry."""

    platform: ClassVar[str]
    registry: ClassVar[bool] = False  #: its names of versions are those at the end of their `registry_uri`
    name: str  #: as people find it, such as "SageMaker endpoint credit"

    @abstractmethod
    def read(self) -> State:
        """The state now. Raises ActionError."""

    @abstractmethod
    def change(self, shares: Mapping[str, float], state: State, key: str) -> None:
        """Ask the platform for these shares; `state` was read just now. Raises ActionError."""

    def restore(self, before: State, state: State, key: str) -> None:
        """Ask for the state before. Raises ActionError."""
        self.change(before.shares, state, key)

    def called(self, version: str, state: State) -> str:
        """The platform's name of a version of the inventory. Raises ActionError when it is not there (any more)."""
        if version in state.shares:
            return version
        raise self.gone(version, state.shares)

    def gone(self, version: str, there: Sequence[str] | Mapping[str, Any]) -> ActionError:
        return ActionError(
            f"{self.name} has no version {version} (any more); there are: {', '.join(map(str, there)) or 'none'}. "
            "Choose one of them, deploy the version again, or say in `names` of the AI system's serving settings "
            "what the platform calls it."
        )

    def same(self, state: State, shares: Mapping[str, float]) -> bool:
        """Whether the state shows these shares."""
        names = {*state.shares, *shares}
        return all(abs(state.shares.get(n, 0) - shares.get(n, 0)) <= TOLERANCE for n in names)


class TrafficShift(Action, abc.ABC):
    """Base of the actions that shift traffic; each says at which place."""

    params = (
        Param("version", required=False, help="The version that takes all traffic."),
        Param(
            "shares", "map", required=False, help="{version: percent}, together 100, instead of `version`."
        ),
        Param("endpoint", required=False, help="Default: the one in the AI system's serving settings."),
        Param("connection", required=False, help="The account. Default: the AI system's."),
    )
    outputs = ("platform", "endpoint", "shares", "before")
    risk = "R1"
    changes_world = True
    timeout = 90.0

    @abc.abstractmethod
    def place(self, ctx: StepContext) -> Place:
        """Where the step acts. Raises ActionError when settings are missing."""

    def precheck(self, ctx: StepContext) -> None:
        """The place can be read and everything that shall serve exists there."""
        place = self.place(ctx)
        _wanted(ctx, place, place.read())

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        """The state before the first try. A later try finds its own effect, which is no state before."""
        if tried_before(ctx):
            return ()
        place = self.place(ctx)
        return [exhibit_of(ctx, _kept(ctx, place.read()), place.name)]

    def run(self, ctx: StepContext) -> Outcome:
        """Ask for the shares once, then look until the platform has done it or given up."""
        place = self.place(ctx)
        state = place.read()
        before = state_before(ctx) or _kept(ctx, state)
        wanted = _wanted(ctx, place, state)
        sent = ctx.memory.get("sent") == wanted
        if not state.settled and not sent:
            return Wait(ctx.now + LOOK_AGAIN, f"Another change of {place.name} is under way.")
        if not sent and not place.same(state, wanted):
            place.change(wanted, state, ctx.idempotency_key)
            sent, state = True, place.read()
        if sent and state.failed:
            raise ActionError(
                f"{place.name} gave the change up: {state.failed}. Look there, then retry the step."
            )
        if not state.settled:
            return Wait(ctx.now + LOOK_AGAIN, f"{place.name} is moving traffic.", {"sent": wanted})
        outputs = {"platform": place.platform, "endpoint": place.name, "shares": wanted, "before": before}
        return Done(outputs, summary=f"{place.name}: {_written(wanted)}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return _read_back(ctx, self.place(ctx), outputs["shares"], PAUSES)

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Ask for the state before unless it is there already, and read it back."""
        place = self.place(ctx)
        before = State(outputs["before"]["shares"], raw=outputs["before"].get("raw") or {})
        state = place.read()
        if state.settled and not place.same(state, before.shares):
            place.restore(before, state, ctx.idempotency_key)
        found = _read_back(ctx, place, before.shares, UNDO_PAUSES)
        exhibit = Exhibit("after-undo.json", json.dumps(found, indent=1).encode(), source=place.name)
        return Done(found, [exhibit], summary=f"{place.name} restored: {_written(before.shares)}.")


def _wanted(ctx: StepContext, place: Place, state: State) -> dict[str, float]:
    """Percent by the platform's own names, out of the step's parameters. Raises ActionError."""
    version, shares = str(ctx.params.get("version") or "").strip(), ctx.params.get("shares") or {}
    if bool(version) == bool(shares):
        raise ActionError("Say either which `version` takes all traffic, or the `shares` of several.")
    if version:
        shares = {version: 100}
    names = _names(ctx, place)
    wanted: dict[str, float] = {}
    for name, percent in shares.items():
        whole = (
            isinstance(percent, int | float) and not isinstance(percent, bool) and float(percent).is_integer()
        )
        if not whole or percent < 0:
            raise ActionError(f"The share of {name} is {percent!r}: write whole percentages, zero or more.")
        known = place.called(str(names.get(name, name)), state)
        wanted[known] = wanted.get(known, 0) + int(percent)
    if sum(wanted.values()) != 100:
        raise ActionError(f"The shares add up to {sum(wanted.values()):g} %, not to 100 %: correct the step.")
    return wanted


def _kept(ctx: StepContext, state: State) -> dict[str, Any]:
    """A state as JSON, with what the serving side said at that moment."""
    kept = {name: value for name, value in asdict(state).items() if name in ("shares", "raw")}
    try:
        served = _served(ctx)
    except ActionError as error:  # it may be broken: that is what is being repaired
        served = f"no answer: {error}"
    return kept if served is None else {**kept, "served": served}


def _read_back(
    ctx: StepContext, place: Place, shares: Mapping[str, float], pauses: Sequence[float]
) -> dict[str, Any]:
    """Look a few times until platform and serving side show the shares.

    Raises Unverified, or a retryable ActionError while the platform is still at work.
    """
    wrong = ""
    for pause in pauses:
        time.sleep(pause)
        ctx.renew()
        state = place.read()
        found: dict[str, Any] = {"shares": dict(state.shares)}
        wrong = "" if place.same(state, shares) else f"{place.name} shows {_written(state.shares)}"
        if not wrong and state.settled:
            wrong, found["served"] = _serves_else(ctx, place, shares)
        if not wrong and state.settled:
            return found
    if not state.settled and not state.failed:
        raise ActionError(f"{place.name} is still moving traffic.", retryable=True, retry_after=30)
    raise Unverified(
        f"{wrong or place.name + ' has not settled'}, expected {_written(shares)}. Whatever the platform answered, "
        "the change is not in force: look there, then retry the step."
    )


def _serves_else(ctx: StepContext, place: Place, shares: Mapping[str, float]) -> tuple[str, Any]:
    """What is wrong with the version that the serving side names (empty: nothing), and that version."""
    try:
        served = _served(ctx)
    except ActionError as error:
        return f"what serves cannot be read ({error})", None
    if served is None:
        return "", None
    fine = {name for name, percent in shares.items() if percent > 0}
    fine |= {version for version, name in _names(ctx, place).items() if str(name) in fine}
    return ("" if str(served) in fine else f"the serving side answers with version {served}"), served


def _served(ctx: StepContext) -> Any:
    """The version that the serving side itself names, or None when the system has no address to ask."""
    serving = serving_of(ctx)
    url = str(serving.get("version_url") or "")
    return at(Gateway("").read(url), str(serving.get("version_field") or "version")) if url else None


def serving_of(ctx: StepContext) -> Mapping[str, Any]:
    """The serving settings of the step's AI system; empty without one."""
    serving = getattr(ctx.system, "serving", None)
    return serving if isinstance(serving, Mapping) else {}


def endpoint_of(ctx: StepContext, platform: str) -> str:
    """The step's `endpoint`, else that of the serving settings (`mlflow_endpoint` before `endpoint`), else where
    the system is deployed at this platform. Raises ActionError."""
    serving = serving_of(ctx)
    found = ctx.params.get("endpoint") or serving.get(f"{platform}_endpoint") or serving.get("endpoint")
    if not found:
        found = next((d.endpoint for d in deployments(ctx) if d.platform == platform), "")
    if not found:
        raise ActionError(
            f"Where to shift traffic at {platform} is not known: give `endpoint` in the step, or set it in the AI "
            "system's serving settings."
        )
    return str(found).strip()


def deployments(ctx: StepContext) -> Sequence[Any]:
    """The system's deployments that serve now, the largest share first."""
    return () if ctx.system is None else ctx.system.serving_at(ctx.now)


def _names(ctx: StepContext, place: Place) -> dict[str, str]:
    """What the platform calls versions of the inventory: `names` of the serving settings, else their registration."""
    found: dict[str, str] = {}
    if place.registry and ctx.system is not None:
        registered = ctx.system.versions.exclude(registry_uri="").values_list("version", "registry_uri")
        found = {version: uri.rpartition("/")[2] for version, uri in registered}
    names = serving_of(ctx).get("names")
    return found | {
        str(version): str(name) for version, name in (names if isinstance(names, Mapping) else {}).items()
    }


def _written(shares: Mapping[str, float]) -> str:
    found = [f"{name} {percent:g} %" for name, percent in shares.items() if percent > 0]
    return ", ".join(found) or "no traffic at all"
