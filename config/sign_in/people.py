"""From a provider's claims to a person here: found, linked or made, and their roles kept in step with their groups."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from config.sign_in.models import Identity
from config.sign_in.oidc import Claims, NotSignedIn
from config.sign_in.record import tell
from incidents.models import AISystem, RoleGrant, User

log = logging.getLogger(__name__)

ACTOR = "single sign-on"


@dataclass(frozen=True, slots=True)
class Given:
    """A role that a group brings, everywhere or on the system with that slug."""

    group: str
    role: str
    system: str = ""


def mapping(entries: Sequence[str]) -> list[Given]:
    """`sre=SRE`, `risk=MRC+DPO`, `credit=MO@credit-risk` as what each group brings. Raises ValueError."""
    found = []
    for entry in entries:
        group, equals, roles = entry.rpartition("=")
        if not (group.strip() and equals and roles.strip()):
            raise ValueError(f"{entry!r} is not group=ROLE or group=ROLE@system")
        for one in roles.split("+"):
            role, _, system = one.strip().partition("@")
            found.append(Given(group.strip(), role, system))
    return found


def groups_of(claims: Claims) -> list[str]:
    """The groups in the configured claim: a name of its own, or a path of names with dots between them."""
    name = settings.HOLDFAST_OIDC_GROUPS_CLAIM
    value: Any = claims.get(name)
    if value is None:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, list) else []


def vouched(claims: Claims) -> bool:
    """Whether the provider's own second factor counts here, by its `amr` (RFC 8176) or by the operator's word."""
    rule = settings.HOLDFAST_OIDC_SECOND_FACTOR
    if rule == "amr":
        told = claims.get("amr")
        return "mfa" in (told if isinstance(told, list) else [told])
    return bool(rule == "always")


def person_of(claims: Claims, issuer: str) -> User:
    """Who signed in, their roles in step with their groups. Raises NotSignedIn with the reason."""
    try:
        with transaction.atomic():
            user = _known(claims, issuer) or _linked(claims, issuer) or _made(claims, issuer)
            _may_enter(user)
            identity = user.identities.get(issuer=issuer, subject=claims["sub"])
            _keep_in_step(user, identity, groups_of(claims))
            identity.email, identity.last_used_at = verified_email(claims), timezone.now()
            identity.save(update_fields=["email", "last_used_at", "made_staff"])
    except IntegrityError as error:
        raise NotSignedIn("You signed in twice at the same moment. Try again.") from error
    return user


def verified_email(claims: Claims) -> str:
    """The address, when the provider vouches for it; else empty."""
    email, verified = str(claims.get("email") or ""), claims.get("email_verified")
    if verified is None and settings.HOLDFAST_OIDC_TRUST_EMAILS:
        verified = True
    # some providers write the flag as a word
    if verified is not True and str(verified).lower() != "true":
        return ""
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email


# --- who ---------------------------------------------------------------------------------------------


def _known(claims: Claims, issuer: str) -> User | None:
    found = Identity.objects.filter(issuer=issuer, subject=claims["sub"]).select_related("user").first()
    return found.user if found else None


def _linked(claims: Claims, issuer: str) -> User | None:
    """The one account here with the verified address; from now on it is known by the subject."""
    told = str(claims.get("email") or "")
    owners = list(User.objects.filter(email__iexact=told)[:2]) if told else []
    if not owners:
        return None
    if not verified_email(claims):
        raise NotSignedIn(
            f"There is an account here with the address {told}, but the identity provider does not vouch that it is "
            "yours. Have the address verified there, or ask an administrator."
        )
    if len(owners) > 1:
        raise NotSignedIn(
            f"Several accounts here have the address {told}. Ask an administrator which is yours."
        )
    user = owners[0]
    if user.identities.filter(issuer=issuer).exists():
        raise NotSignedIn(
            f"The account with the address {told} belongs to another identity at the provider. Ask an administrator."
        )
    _may_enter(user)
    Identity.objects.create(user=user, issuer=issuer, subject=claims["sub"])
    tell("identity_linked", user, f"{user} was recognised by {told} and linked to {issuer}.", actor=ACTOR)
    return user


def _made(claims: Claims, issuer: str) -> User:
    rule = settings.HOLDFAST_OIDC_NEW_PEOPLE
    mapped = {one.group for one in mapping(settings.HOLDFAST_OIDC_ROLES)}
    if rule == "nobody":
        raise NotSignedIn(
            "You have no account here. Ask an administrator to make one with your e-mail address."
        )
    if rule == "mapped" and not mapped & set(groups_of(claims)):
        raise NotSignedIn(
            "You have no account here, and none of your groups brings one. Ask an administrator."
        )
    user = User(
        username=_free_name(claims),
        email=verified_email(claims),
        display_name=str(claims.get("name") or "")[:120],
    )
    user.set_unusable_password()
    user.save()
    Identity.objects.create(user=user, issuer=issuer, subject=claims["sub"])
    tell(
        "account_made", user, f"{user} came from {issuer} for the first time and got an account.", actor=ACTOR
    )
    return user


def _free_name(claims: Claims) -> str:
    """A user name after the provider's; never one that exists, as that would be somebody else."""
    told = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
    plain = re.sub(r"[^\w.@+-]", "-", told)[:140] or "person"
    taken = set(User.objects.filter(username__istartswith=plain).values_list("username", flat=True))
    lower = {name.lower() for name in taken}
    if plain.lower() not in lower:
        return plain
    return next(f"{plain}-{n}" for n in range(2, len(lower) + 3) if f"{plain}-{n}".lower() not in lower)


def _may_enter(user: User) -> None:
    if not user.is_active:
        raise NotSignedIn("Your account here is closed. Ask an administrator to open it again.")
    if user.is_service:
        raise NotSignedIn("This is the account of a service; it works with API tokens and does not sign in.")


# --- what they may do --------------------------------------------------------------------------------


def _keep_in_step(user: User, identity: Identity, groups: list[str]) -> None:
    """Give the roles that the groups bring and take those that none brings any more; what was granted by hand
    stays as it is. Where no mapping is configured nothing changes."""
    entries = mapping(settings.HOLDFAST_OIDC_ROLES)
    if not entries:
        return
    slugs = {one.system for one in entries if one.system}
    systems = {one.slug: one for one in AISystem.objects.filter(slug__in=slugs)}
    if unknown := slugs - set(systems):
        log.warning("HOLDFAST_OIDC_ROLES names systems that are not there: %s", ", ".join(sorted(unknown)))
    wanted = {
        (one.role, systems[one.system].pk if one.system else None): one.group
        for one in entries
        if one.group in groups and (not one.system or one.system in systems)
    }
    held = {(grant.role, grant.system_id): grant for grant in user.grants.select_related("system")}
    for (role, system), group in wanted.items():
        if (role, system) not in held:
            made = RoleGrant.objects.create(user=user, role=role, system_id=system, source=identity.issuer)
            tell(
                "role_given",
                user,
                f"{made}: the group {group} brings it.",
                actor=ACTOR,
                role=role,
                system=system,
            )
    for key, grant in held.items():
        if grant.source == identity.issuer and key not in wanted:
            tell(
                "role_taken",
                user,
                f"{grant}: no longer, as no group brings it.",
                actor=ACTOR,
                role=key[0],
                system=key[1],
            )
            grant.delete()
    _open_administration(user, identity, ("ADM", None) in wanted)


def _open_administration(user: User, identity: Identity, wanted: bool) -> None:
    """The console asks for Django's staff mark; a group that brings ADM brings it, and takes back only its own."""
    if wanted and not user.is_staff:
        user.is_staff = identity.made_staff = True
    elif not wanted and identity.made_staff:
        user.is_staff = user.grants.filter(role="ADM", system=None).exists()
        identity.made_staff = False
    else:
        return
    user.save(update_fields=["is_staff"])
