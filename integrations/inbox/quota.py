"""A sender's own quota: a token bucket per connection and web process, only where one is set."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from time import monotonic


class Bucket:
    """Holds one minute's worth of messages and fills evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._left = float(per_minute)
        self._at = clock()

    def take(self) -> int:
        """Take one message: 0 when there was room, else the seconds after which there will be."""
        with self._lock:
            now = self._clock()
            self._left = min(self.per_minute, self._left + (now - self._at) * self.per_minute / 60)
            self._at = now
            if self._left >= 1:
                self._left -= 1
                return 0
            return max(1, math.ceil((1 - self._left) * 60 / self.per_minute))
