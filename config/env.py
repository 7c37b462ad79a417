"""Typed readers for the environment: every variable explains itself, a wrong value says what to write."""

from __future__ import annotations

import argparse
import ipaddress
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Variable:
    """One line of `manage.py settings`. `default` and `shown` are display texts, secrets masked."""

    name: str
    kind: str
    default: str
    shown: str
    from_environment: bool
    help: str


class Environment:
    """Reads variables once, remembers what it read, and refuses what it cannot read.

    Every reader raises ImproperlyConfigured naming the variable, the value and what to write instead.
    """

    def __init__(self, source: Mapping[str, str] | None = None) -> None:
        self.source = os.environ if source is None else source
        self.variables: dict[str, Variable] = {}

    # --- readers -------------------------------------------------------------------------------
    def text(self, name: str, default: str = "", *, help: str, secret: bool = False) -> str:
        return self._read(name, "text", default, str, help=help, write="text", secret=secret)

    def flag(self, name: str, default: bool, *, help: str) -> bool:
        def parse(raw: str) -> bool:
            words = {"1": True, "true": True, "yes": True, "on": True}
            words |= {"0": False, "false": False, "no": False, "off": False}
            return words[raw.lower()]

        return self._read(name, "yes/no", default, parse, help=help, write="1 or 0")

    def number(self, name: str, default: int, *, help: str, low: int = 0, high: int = 2**53) -> int:
        def parse(raw: str) -> int:
            value = int(raw)
            if not low <= value <= high:
                raise ValueError(raw)
            return value

        write = f"a whole number from {low} to {high}, for example {default}"
        return self._read(name, "number", default, parse, help=help, write=write)

    def choice(self, name: str, default: str, choices: tuple[str, ...], *, help: str) -> str:
        def parse(raw: str) -> str:
            return choices[[c.lower() for c in choices].index(raw.lower())]

        return self._read(
            name, "choice", default, parse, help=help, write="one of " + ", ".join(c or '""' for c in choices)
        )

    def words(self, name: str, default: list[str], *, help: str) -> list[str]:
        return self._read(
            name, "list", default, _split, help=help, write="values separated by commas", show=", ".join
        )

    def folder(self, name: str, default: Path, *, help: str) -> Path:
        return self._read(
            name, "folder", default, lambda raw: Path(raw).expanduser().resolve(), help=help, write="a path"
        )

    def folders(self, name: str, default: list[Path], *, help: str) -> list[Path]:
        return self._read(
            name,
            "folders",
            default,
            lambda raw: [Path(p).expanduser().resolve() for p in _split(raw.replace(os.pathsep, ","))],
            help=help,
            write=f"paths separated by commas or {os.pathsep!r}",
            show=lambda paths: ", ".join(map(str, paths)),
        )

    def networks(self, name: str, *, help: str) -> list[str]:
        """CIDR blocks in canonical form."""
        return self._read(
            name,
            "CIDRs",
            [],
            lambda raw: [str(ipaddress.ip_network(block)) for block in _split(raw)],
            help=help,
            write="CIDR blocks separated by commas, for example 10.20.0.0/16,192.168.7.4/32",
            show=", ".join,
        )

    def web_address(self, name: str, default: str, *, help: str) -> str:
        def parse(raw: str) -> str:
            parts = urlsplit(raw)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(raw)
            return raw.rstrip("/")

        return self._read(
            name, "URL", default, parse, help=help, write="an address such as https://holdfast.example.org"
        )

    def broker(self, name: str, default: str, *, help: str) -> str:
        def parse(raw: str) -> str:
            if urlsplit(raw).scheme not in ("memory", "redis", "rediss", "amqp", "amqps"):
                raise ValueError(raw)
            return raw

        write = "memory:// (everything in one process), redis://host:6379/0 or amqp://user:password@host//"
        return self._read(name, "URL", default, parse, help=help, write=write, show=mask_url)

    def database(self, name: str, default: str, *, help: str) -> dict[str, Any]:
        """Django's NAME, USER, PASSWORD, HOST, PORT and `vendor`; what follows `?` goes to libpq."""
        raw = self._read(
            name, "URL", default, lambda text: (parse_database(text), text)[1],
            help=help, write="sqlite:///absolute/path.sqlite3 or postgresql://user:password@host:5432/name",
            show=mask_url,
        )  # fmt: skip
        return parse_database(raw)

    def secret(
        self, name: str, keep_in: Path, make: Callable[[], str], check: Callable[[str], Any], *, help: str
    ) -> str:
        """A secret from the environment, else from the file `keep_in`, which is made once (mode 0600)."""

        def parse(raw: str) -> str:
            check(raw)
            return raw

        value = self._read(
            name, "secret", "", parse, secret=True, help=help, write="what `python manage.py settings --help` shows",
            default_text=f"made once, kept in {keep_in.name} of the data folder",
        )  # fmt: skip
        if value:
            return value
        value = _read_or_make(name, keep_in, make)
        self.variables[name] = replace(self.variables[name], shown="••• (from the file)")
        try:
            check(value)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{keep_in} is damaged ({error}). Restore it from a backup, or set {name}."
            ) from error
        return value

    # --- machinery -----------------------------------------------------------------------------
    def _read(
        self,
        name: str,
        kind: str,
        default: T,
        parse: Callable[[str], T],
        *,
        help: str,
        write: str,
        secret: bool = False,
        show: Callable[[T], str] | None = None,
        default_text: str | None = None,
    ) -> T:
        display = show or (lambda value: str(int(value)) if isinstance(value, bool) else str(value))
        raw = self.source.get(name, "").strip()
        value = default
        if raw:
            try:
                value = parse(raw)
            except (ValueError, KeyError) as error:
                seen = "a value that cannot be used" if secret else repr(mask_url(raw))
                raise ImproperlyConfigured(f"{name} is {seen}: write {write}. It sets: {help}") from error
        if name in self.variables:
            raise ImproperlyConfigured(f"{name} is read twice; read it once in config/settings.py.")
        shown = ("•••" if value else "") if secret else display(value)
        self.variables[name] = Variable(
            name, kind, display(default) if default_text is None else default_text, shown, bool(raw), help
        )
        return value


def _split(raw: str) -> list[str]:
    return [word.strip() for word in raw.split(",") if word.strip()]


def mask_url(url: str) -> str:
    """The URL with its password replaced; anything else unchanged."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return url
    return url.replace(f":{password}@", ":•••@") if password else url


def parse_database(url: str) -> dict[str, Any]:
    """Split a database URL; raises ValueError for an unknown scheme or a missing name."""
    parts = urlsplit(url)
    name = unquote(parts.path)
    if parts.scheme == "sqlite":
        # sqlite:////var/lib/x.sqlite3 and sqlite:///var/lib/x.sqlite3 both name the absolute path
        if not name.strip("/") or parts.netloc:
            raise ValueError(url)
        return {"vendor": "sqlite", "NAME": "/" + name.lstrip("/")}
    if parts.scheme not in ("postgres", "postgresql") or not name.strip("/"):
        raise ValueError(url)
    return {
        "vendor": "postgresql",
        "NAME": name.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


def _read_or_make(name: str, path: Path, make: Callable[[], str]) -> str:
    """The file's content; made with mode 0600 in one step, so that two first starts agree on one value."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(make() + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.link(draft, path)
            except FileExistsError:
                # another process was first: its value is the one
                pass
            finally:
                os.unlink(draft)
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} is not set and cannot be kept in {path} ({error.strerror}). "
            f"Set {name}, or point HOLDFAST_DATA to a folder that this user can write."
        ) from error


def chosen_by_up(argv: list[str]) -> dict[str, str]:
    """`manage.py up --data FOLDER` chooses the installation, which must be known before anything is read."""
    if argv[1:2] != ["up"]:
        return {}
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data")
    folder = parser.parse_known_args(argv[2:])[0].data
    return {"HOLDFAST_DATA": folder} if folder else {}


def remembered_address(data: Path) -> str:
    """Where `up` listened last, so that other commands print addresses that work; empty before."""
    try:
        return (data / "address").read_text().strip()
    except OSError:
        return ""


def remember_address(data: Path, address: str) -> None:
    (data / "address").write_text(address + "\n")
