"""The Celery application. Its one task says "look at row N"; the row holds the truth.

A message that is lost or comes twice does no harm: handlers claim the row before they work, and the sweeper
of `config.worker` finds rows that nobody looked at.
"""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
TRANSPORT_ALIASES["embedded"] = "config.embedded:Transport"

#: The one task: look at row `id` of `kind`; without an id, at whatever is due. `config.worker` performs it.
LOOK = "holdfast.look"
#: Seconds after which a message is worth nothing: the sweeper has found its row long before.
STALE = 600

app = Celery(
    "holdfast",
    broker="embedded://localhost" if settings.EMBEDDED else settings.HOLDFAST_BROKER_URL,
    fixups=[],
)
app.conf.update(
    task_default_queue="holdfast",
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,  # a long step must not hold messages that another worker could take
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_connection_timeout=2,
    broker_pool_limit=2,
    enable_utc=True,
)
if settings.HOLDFAST_BROKER_URL.startswith("redis"):
    app.conf.broker_transport_options = {
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }


def send_look(kind: str, id: int | None) -> None:
    """Publish one message without retries; raises whatever the broker's client raises."""
    app.send_task(LOOK, (kind, id), retry=False, expires=STALE, ignore_result=True)
