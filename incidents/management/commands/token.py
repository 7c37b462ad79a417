"""`manage.py token USER`: make an API token and print it once; with --create the user too."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from django.utils import timezone

from incidents.models import ApiToken, RoleGrant, User
from incidents.models.people import ROLES

LONGEST_DAYS = 3650


class Command(BaseCommand):
    help = "Make an API token and print it once; only its hash is kept. --create ROLE makes a missing user."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="username")
        parser.add_argument(
            "--create", metavar="ROLE", help=f"make the user with this role if missing: {', '.join(ROLES)}"
        )
        parser.add_argument(
            "--scopes",
            help=f"separated by commas: {', '.join(ApiToken.SCOPES)}; default read,write,act, and admin for administrators",
        )
        parser.add_argument("--name", default="command line", help="how people recognise the token")
        parser.add_argument("--expires-days", type=int, metavar="N", help="days until it ends; default never")
        parser.add_argument("--json", action="store_true", help='print {"token"}')

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["expires_days"]
        if days is not None and not 1 <= days <= LONGEST_DAYS:
            raise CommandError(f"--expires-days {days}: give 1 to {LONGEST_DAYS}.")
        if not _migrated():
            raise CommandError(
                "The database has no tables yet. Run `python manage.py migrate` (or `up` once) first."
            )
        with transaction.atomic():
            user = _user(options["user"], options["create"])
            token, plain = ApiToken.issue(
                user,
                options["name"][:120],
                _scopes(options["scopes"], user),
                timezone.now() + timedelta(days=days) if days else None,
            )
        if options["json"]:
            self.stdout.write(json.dumps({"token": plain}))
            return
        self.stderr.write(f"Token of {user.username}, scopes {', '.join(token.scopes)}; shown this once:")
        self.stdout.write(plain)


def _migrated() -> bool:
    return User._meta.db_table in connection.introspection.table_names()


def _user(name: str, role: str | None) -> User:
    """The user; made, or given the role, where `role` is asked for. Raises CommandError."""
    if role is not None and role not in ROLES:
        raise CommandError(f"There is no role {role!r}; choose one of {', '.join(ROLES)}.")
    user = User.objects.filter(username=name).first()
    if user is None:
        if role is None:
            raise CommandError(f"There is no user {name!r}. Add --create ROLE to make one, e.g. --create IC.")
        user = User(username=name)
        user.set_unusable_password()
        try:
            user.full_clean(exclude=["password"])
        except ValidationError as error:
            raise CommandError(f"{name!r} cannot be a username: {' '.join(error.messages)}") from error
        user.save()
    if not user.is_active:
        raise CommandError(f"{name} is not active, so a token would not work. Activate the account first.")
    if role is not None:
        RoleGrant.objects.get_or_create(user=user, role=role, system=None)
    return user


def _scopes(text: str | None, user: User) -> list[str]:
    if text is None:
        administers = user.is_superuser or "ADM" in user.role_codes()
        return ["read", "write", "act", *(["admin"] if administers else [])]
    scopes = [word.strip() for word in text.split(",") if word.strip()]
    if not scopes or (unknown := sorted(set(scopes) - set(ApiToken.SCOPES))):
        wrong = ", ".join(unknown) if scopes else "nothing"
        raise CommandError(f"--scopes: {wrong} is no scope; choose among {', '.join(ApiToken.SCOPES)}.")
    return scopes
