"""Settings of a test run: the product's own, on a database and in a folder that belong to the run.

`HOLDFAST_TEST_DATABASE` chooses `sqlite` (default) or `postgresql`. PostgreSQL is started once per run and
shared by its worker processes (each has a database of its own), unless `HOLDFAST_TEST_POSTGRES_URL` names a
server to use. Nothing of the developer's own installation is read.
"""

import atexit
import base64
import os
import shutil
import tempfile
from pathlib import Path

from tests.processes import guard
from tests.services import Postgres


def _folder_of_the_run() -> Path:
    """Made by the first process of the run; its workers get a folder each below it."""
    top = os.environ.get("HOLDFAST_TEST_FOLDER")
    if not top:
        top = tempfile.mkdtemp(prefix="holdfast-tests-")
        os.environ["HOLDFAST_TEST_FOLDER"] = top
        guard.tell("folder", top)
        atexit.register(shutil.rmtree, top, ignore_errors=True)
    folder = Path(top) / os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder.mkdir(exist_ok=True)
    return folder


def _database_url(folder: Path) -> str:
    wanted = os.environ.get("HOLDFAST_TEST_DATABASE") or "sqlite"
    if wanted == "sqlite":
        return f"sqlite:///{folder / 'holdfast.sqlite3'}"
    if wanted != "postgresql":
        raise ValueError(f"HOLDFAST_TEST_DATABASE is {wanted!r}: write sqlite or postgresql.")
    url = os.environ.get("HOLDFAST_TEST_POSTGRES_URL")
    if not url:
        server = Postgres().start()
        atexit.register(server.stop)
        url = os.environ["HOLDFAST_TEST_POSTGRES_URL"] = server.url("holdfast")
    return url


_folder = _folder_of_the_run()
_url = _database_url(_folder)
for _name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
    if not _name.startswith("HOLDFAST_TEST_"):
        del os.environ[_name]
os.environ |= {
    "HOLDFAST_DATA": str(_folder),
    "DATABASE_URL": _url,
    "HOLDFAST_SECRET_KEY": "a secret key that only the tests use",
    "HOLDFAST_ENCRYPTION_KEYS": base64.urlsafe_b64encode(b"an encryption key for tests only").decode(),
    "HOLDFAST_LOG_FORMAT": "text",
}

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASE_VENDOR, DATABASES  # noqa: E402

if DATABASE_VENDOR == "sqlite":
    _default = DATABASES["default"]
    _default["TEST"] = {"NAME": str(_folder / "test.sqlite3")}
    # nobody pulls the plug on a test database: waiting for the disk would only cost time
    _default["OPTIONS"]["init_command"] += "; PRAGMA synchronous=OFF"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # made to be fast, for tests only
