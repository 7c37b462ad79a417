"""People and what they may do: users, teams, role grants, API tokens."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.utils import timezone

from .audit import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Roles of DOMAIN 6.1, code → title.
ROLES = {
    "REP": "Reporter",
    "MLE": "ML engineer",
    "DSC": "Data scientist",
    "DE": "Data engineer",
    "DST": "Data steward",
    "SRE": "Platform engineer",
    "IC": "Incident commander",
    "MO": "Model owner",
    "SEC": "Security",
    "MRC": "Model risk and compliance",
    "ETH": "Ethics reviewer",
    "DPO": "Data protection",
    "LEG": "Legal",
    "BO": "Business owner",
    "COM": "Communications",
    "EXE": "Executive sponsor",
    "SAF": "Safety officer",
    "AUD": "Auditor",
    "ADM": "Administrator",
    "SYS": "Automation",
}


class Team(models.Model):
    """People who own systems together."""

    name = models.CharField(max_length=120, unique=True)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """A person (or automation identity) who signs in."""

    display_name = models.CharField(max_length=120, blank=True)
    time_zone = models.CharField(max_length=64, blank=True, help_text="IANA name; empty means the browser's.")
    theme = models.CharField(
        max_length=8,
        default="auto",
        choices=[("auto", "As the system"), ("light", "Light"), ("dark", "Dark")],
    )
    teams = models.ManyToManyField(Team, blank=True, related_name="members")
    #: kind of `incidents.notices.KINDS` → how: off, page or mail; what is not in it is as shipped
    notify = models.JSONField(default=dict, blank=True, editable=False)
    is_service = models.BooleanField(default=False, help_text="Service accounts cannot approve.")

    class Meta(AbstractUser.Meta):
        ordering = ["username"]

    def __str__(self) -> str:
        return self.display_name or self.get_full_name() or self.username

    def role_codes(self, system_id: int | None = None) -> frozenset[str]:
        """Codes of the roles held everywhere or on `system_id`."""
        return frozenset(role for role, scope in self._granted() if scope is None or scope == system_id)

    def roles_anywhere(self) -> frozenset[str]:
        """Codes of the roles held everywhere or on any system."""
        return frozenset(role for role, _ in self._granted())

    def _granted(self) -> list[tuple[str, int | None]]:
        cached: list[tuple[str, int | None]] | None = getattr(self, "_grants", None)
        if cached is None:
            cached = list(self.grants.values_list("role", "system_id"))
            self._grants = cached
        return cached


class RoleGrant(models.Model):
    """A role somebody holds, everywhere (no system) or on one AI system."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=4, choices=list(ROLES.items()))
    system = models.ForeignKey(
        "incidents.AISystem", on_delete=models.CASCADE, null=True, blank=True, related_name="grants"
    )
    granted_at = models.DateTimeField(default=timezone.now)
    source = models.CharField(
        max_length=300,
        blank=True,
        help_text="Empty: granted by hand. Else the identity provider whose groups bring it.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "role", "system"], name="role_granted_once_on_a_system"),
            models.UniqueConstraint(
                fields=["user", "role"], condition=models.Q(system=None), name="role_granted_once_everywhere"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role}" + (f" on {self.system}" if self.system_id else "")

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            self._tell("right.granted", f"{self} from now on.")

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            self._tell("right.withdrawn", f"No longer: {self}.")
            return super().delete(*args, **kwargs)

    def _tell(self, kind: str, text: str) -> None:
        data = {"user": self.user_id, "role": self.role, "system": self.system_id}
        AuditEntry.objects.create(kind=kind, text=text, data=data)


class ApiToken(models.Model):
    """A bearer token: only its hash is kept; scopes narrow what its user may do."""

    SCOPES = ("read", "write", "act", "admin", "metrics")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=12, help_text="First characters, to recognise it by.")
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(
        cls,
        user: User,
        name: str,
        scopes: Iterable[str] = ("read", "write", "act"),
        expires_at: datetime | None = None,
    ) -> tuple[ApiToken, str]:
        """Make a token; the plain value is returned once and never stored."""
        plain = "hf_" + secrets.token_urlsafe(32)
        with transaction.atomic():
            token = cls.objects.create(
                user=user,
                name=name,
                prefix=plain[:9],
                digest=cls.digest_of(plain),
                scopes=sorted(set(scopes)),
                expires_at=expires_at,
            )
            token._tell("token.issued", f"The token “{token}” of {user} was made.")
        return token, plain

    def revoke(self) -> None:
        """From now on it opens nothing."""
        with transaction.atomic():
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])
            self._tell("token.revoked", f"The token “{self}” of {self.user} was revoked.")

    def _tell(self, kind: str, text: str) -> None:
        data = {"token": self.pk, "user": self.user_id, "scopes": self.scopes}
        AuditEntry.objects.create(kind=kind, text=text, data=data)

    @staticmethod
    def digest_of(plain: str) -> str:
        return hashlib.sha256(plain.encode()).hexdigest()

    @classmethod
    def find(cls, plain: str) -> ApiToken | None:
        """The live token with this value, or None (unknown, expired, revoked, user inactive)."""
        now = timezone.now()
        return (
            cls.objects.select_related("user")
            .filter(digest=cls.digest_of(plain), revoked_at=None, user__is_active=True)
            .filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now))
            .first()
        )

    def save(self, *args: Any, **kwargs: Any) -> None:
        unknown = set(self.scopes) - set(self.SCOPES)
        if unknown:
            raise ValueError(
                f"Unknown scope {', '.join(sorted(unknown))}; choose among {', '.join(self.SCOPES)}."
            )
        super().save(*args, **kwargs)
