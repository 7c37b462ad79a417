"""The second factor of a person: who has one, who must, and the verbs that add, check, remove and reset it."""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import Literal

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from config.sign_in import passkeys, throttle, totp
from config.sign_in.models import RecoveryCode, SecondFactor
from config.sign_in.record import tell
from incidents.models import User
from integrations.secrets import SecretsUnreadable

log = logging.getLogger(__name__)

#: Recovery codes made at a time; each has 12 characters of an alphabet without look-alikes: 59 bits.
CODES, ALPHABET = 10, "23456789abcdefghjkmnpqrstuvwxyz"
#: Keys of the session: since when a second factor is shown, and that the identity provider asked for one.
PROVED, VOUCHED = "proved_at", "vouched"

Owed = Literal["", "proof", "set-up"]


class Wrong(Exception):
    """The code or passkey is not accepted; the message says what to do."""


def has(user: User) -> bool:
    return user.second_factors.exists()


def demanded(user: User) -> bool:
    """Whether the administrator asks a second factor of this person (`HOLDFAST_SECOND_FACTOR_FOR`)."""
    roles = set(settings.HOLDFAST_SECOND_FACTOR_FOR)
    if not roles or user.is_service:
        return False
    # a superuser may do what an administrator may
    return "all" in roles or bool(user.roles_anywhere() & roles) or (user.is_superuser and "ADM" in roles)


def owed(request: HttpRequest, user: User) -> Owed:
    """What this session still lacks before it opens anything: showing a second factor, or setting one up."""
    if not settings.HOLDFAST_SECOND_FACTOR_FOR:
        return ""
    if PROVED in request.session or VOUCHED in request.session or not demanded(user):
        return ""
    return "proof" if has(user) else "set-up"


# --- adding ------------------------------------------------------------------------------------------


def add_app(user: User, key: str, code: str, name: str) -> SecondFactor:
    """Add an authenticator app that shows `code` for `key` now. Raises Wrong."""
    step = totp.step_of(key, code, timezone.now())
    if step is None:
        raise Wrong(
            "This is not the code that the app should show now. Check the clock of the phone, and try again."
        )
    with transaction.atomic():
        made = SecondFactor.objects.create(
            user=user, kind="totp", name=name, secret={"key": key}, counter=step
        )
        tell("factor_added", user, f"{user} added the authenticator app “{name}”.", kind="totp")
    return made


def add_passkey(user: User, new: passkeys.Made, name: str) -> SecondFactor:
    """Add a passkey. Raises Wrong when it is known already."""
    if SecondFactor.objects.filter(digest=new.digest).exists():
        raise Wrong("This passkey is already in use here.")
    with transaction.atomic():
        made = SecondFactor.objects.create(
            user=user, kind="passkey", name=name, digest=new.digest, counter=new.counter,
            secret={"credential": new.credential, "host": new.host},
        )  # fmt: skip
        tell("factor_added", user, f"{user} added the passkey “{name}”.", kind="passkey")
    return made


def new_codes(user: User) -> list[str]:
    """Ten new recovery codes, shown this once; the former ones no longer work."""
    codes = ["-".join(_word() for _ in range(3)) for _ in range(CODES)]
    with transaction.atomic():
        user.recovery_codes.all().delete()
        RecoveryCode.objects.bulk_create(
            RecoveryCode(user=user, digest=_digest(user, code)) for code in codes
        )
        tell("recovery_codes_made", user, f"{user} made new recovery codes.")
    return codes


def codes_left(user: User) -> int:
    return user.recovery_codes.filter(used_at=None).count()


# --- checking ----------------------------------------------------------------------------------------


def check_code(request: HttpRequest, user: User, code: str) -> None:
    """Accept the code of one of the user's apps or a recovery code, each once. Raises Wrong."""
    _may_try(request, user)
    if not (_app_shows(user, code) or _recovers(user, code)):
        throttle.failed(request, user)
        raise Wrong(
            "This code is not right, or was already used. Wait for the next one, or use a recovery code."
        )
    throttle.forgive(user)


def check_passkey(request: HttpRequest, user: User, answer: str) -> None:
    """Accept the browser's answer, signed with one of the user's passkeys. Raises Wrong."""
    _may_try(request, user)
    known = credentials(request, user)
    try:
        digest, counter = passkeys.answered(request, user, known, answer)
    except passkeys.NoPasskey as error:
        throttle.failed(request, user)
        raise Wrong(str(error)) from error
    mine = user.second_factors.filter(digest=digest)
    # a device that counts and falls behind was copied; one that does not count always says 0
    fresh = mine.filter(counter__lt=counter) if counter else mine.filter(counter=0)
    if not fresh.update(counter=counter, last_used_at=timezone.now()):
        throttle.failed(request, user)
        raise Wrong("This passkey seems to be a copy. Remove it in your settings, and add it again.")
    throttle.forgive(user)


def credentials(request: HttpRequest, user: User) -> list[str]:
    """The user's passkeys that work at the name under which Holdfast is reached now."""
    host = passkeys.host_of(request)
    kept = [_secret(one) for one in user.second_factors.filter(kind="passkey")]
    return [one["credential"] for one in kept if one.get("host") == host]


def _may_try(request: HttpRequest, user: User) -> None:
    if not throttle.may_try(request, user):
        raise Wrong("Too many wrong tries. Wait 15 minutes.")


def _app_shows(user: User, code: str) -> bool:
    now = timezone.now()
    for app in user.second_factors.filter(kind="totp"):
        key = _secret(app).get("key")
        step = totp.step_of(key, code, now) if key else None
        # the condition lets one of two requests with the same code through, in whatever process they are
        if step is not None and SecondFactor.objects.filter(pk=app.pk, counter__lt=step).update(
            counter=step, last_used_at=now
        ):
            return True
    return False


def _recovers(user: User, code: str) -> bool:
    unused = user.recovery_codes.filter(digest=_digest(user, code), used_at=None)
    if not unused.update(used_at=timezone.now()):
        return False
    tell("recovery_code_used", user, f"{user} signed in with a recovery code; {codes_left(user)} are left.")
    return True


# --- taking away -------------------------------------------------------------------------------------


def remove(user: User, pk: int) -> SecondFactor | None:
    """Take one of the user's own factors away; with the last one the recovery codes go too."""
    with transaction.atomic():
        factor = user.second_factors.filter(pk=pk).first()
        if factor is None:
            return None
        factor.delete()
        if not has(user):
            user.recovery_codes.all().delete()
        tell("factor_removed", user, f"{user} removed “{factor.name}”.", kind=factor.kind)
    return factor


def reset(user: User, by: User) -> int:
    """An administrator takes all factors of somebody away who lost them, and signs them out everywhere."""
    with transaction.atomic():
        count: int = user.second_factors.count()
        user.second_factors.all().delete()
        user.recovery_codes.all().delete()
        user.sessions.all().delete()
        throttle.forgive(user)
        tell("factors_reset", user, f"{by} reset the second factor of {user}.", by=by, factors=count)
    return count


def _secret(factor: SecondFactor) -> dict[str, str]:
    """What the factor is checked with; nothing when its encryption key is lost, so that a recovery code still works."""
    try:
        found: dict[str, str] = factor.secret
    except SecretsUnreadable as error:
        log.error("%s cannot be checked: %s", factor, error)
        return {}
    return found


def _word() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(4))


def _digest(user: User, code: str) -> str:
    plain = "".join(c for c in code.lower() if c.isalnum())
    return hashlib.sha256(f"{user.pk}:{plain}".encode()).hexdigest()
