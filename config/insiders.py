"""Who may see the inside: this machine, and whoever holds the metrics token."""

from __future__ import annotations

import hmac
import ipaddress

from django.conf import settings
from django.http import HttpRequest


def is_insider(request: HttpRequest) -> bool:
    """Whether numbers, host names and error texts may be told to the caller."""
    token = settings.HOLDFAST_METRICS_TOKEN
    offered = request.headers.get("Authorization", "")
    if token and hmac.compare_digest(offered.encode(), f"Bearer {token}".encode()):
        return True
    # a proxy on this machine makes every caller look local, so a forwarded request is not
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
