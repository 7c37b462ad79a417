"""Numbers of the inbound path for /metrics; the top floor registers `COLLECTORS`."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

RECEIVED = Counter(
    "holdfast_inbound_messages",
    "Inbound requests by connection and answer; a duplicate was answered with its first receipt, and an unknown address "
    "has no connection.",
    ("connection", "provider", "answer"),
    registry=None,
)
BATCH_ROWS = Histogram(
    "holdfast_inbound_batch_rows",
    "Messages that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=None,
)
COLLECTORS = (RECEIVED, BATCH_ROWS)
