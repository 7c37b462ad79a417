"""The web application as the server calls it: Django behind the inbound path, measured as a whole.

When `manage.py up` asks for it (`HOLDFAST_EMBEDDED_WORKER`), this process also hosts the worker. It starts
here because the server imports this module after its fork, and stops when the process ends.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from multiprocessing import util

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from granian.utils.proxies import wrap_wsgi_with_proxy_headers

from config.collector import settle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def build() -> object:
    """Django, the inbound path and the news of open pages in front of it, measuring around both, and trusted proxies outermost."""
    django = get_wsgi_application()
    from config.demo.gateway import mounted
    from config.observability import measured
    from incidents import news
    from integrations.inbox.receive import predispatch

    application = measured(mounted(predispatch(news.fronted(django))))
    if settings.HOLDFAST_TRUSTED_PROXIES:
        application = wrap_wsgi_with_proxy_headers(application, settings.HOLDFAST_TRUSTED_PROXIES)
    return application


def host_worker() -> None:
    """Start the worker in this process and stop it when the process ends.

    The server's worker process ends through multiprocessing, which skips `atexit` but runs `Finalize`.
    """
    from config.worker import Worker

    worker = Worker(kind="embedded")
    worker.start()
    util.Finalize(None, worker.stop, exitpriority=100)


def end_with(supervisor_life: int) -> None:
    """Stop in order when the supervisor or the server's main process is killed: nobody else would stop us.

    `supervisor_life` is the reading end of a pipe that ends with the supervisor.
    """
    server = os.getppid()

    def watch() -> None:
        while os.getppid() == server:
            ended, _, _ = select.select([supervisor_life], [], [], 1)
            if ended:
                os.kill(server, signal.SIGTERM)
                return
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


application = build()
if os.environ.get("HOLDFAST_SUPERVISOR_LIFE"):
    end_with(int(os.environ["HOLDFAST_SUPERVISOR_LIFE"]))
if os.environ.pop("HOLDFAST_EMBEDDED_WORKER", ""):
    host_worker()
settle()
# The server copies the environment into every request; secrets were read and have no business there.
for _name in (
    *(
        "HOLDFAST_SECRET_KEY",
        "HOLDFAST_ENCRYPTION_KEYS",
        "HOLDFAST_METRICS_TOKEN",
        "HOLDFAST_OIDC_CLIENT_SECRET",
    ),
    "DATABASE_URL",
):
    os.environ.pop(_name, None)
