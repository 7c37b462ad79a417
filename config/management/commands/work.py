"""`manage.py work`: a worker process of its own, for installations with a broker."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.collector import settle
from config.worker import Worker


class Command(BaseCommand):
    help = "Run a worker until SIGTERM or SIGINT: playbook steps, deliveries, the inbox, the sweeper."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--threads", type=int, help="steps and deliveries at a time (HOLDFAST_WORKER_THREADS)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.EMBEDDED:
            raise CommandError(
                "In embedded mode the worker lives in the web process: run `python manage.py up`. "
                "For a worker of its own, set HOLDFAST_BROKER_URL=redis://… and DATABASE_URL=postgresql://…."
            )
        asked_to_stop = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            asked_to_stop.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        worker = Worker(threads=options["threads"])
        worker.start()
        settle()
        self.stdout.write(f"worker {worker.name} ready")
        self.stdout.flush()
        asked_to_stop.wait()
        if not worker.stop():
            # a stuck step would hold the interpreter at exit; its lease runs out and another worker goes on
            logging.shutdown()
            os._exit(0)
