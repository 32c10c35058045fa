"""Logging a recurring problem once per cause, for loops that meet it every second."""

from __future__ import annotations

import logging
import threading


class OncePerCause:
    """Logs a warning the first time that a cause appears, and again only after the cause has gone away.

    Attributes:
        logger: Where to.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self._causes: set[str] = set()
        self._lock = threading.Lock()

    def warn(self, cause: str, message: str) -> bool:
        """Log `message` unless `cause` is known already; True if it was logged."""
        with self._lock:
            if cause in self._causes:
                return False
            self._causes.add(cause)
        self.logger.warning("%s", message)
        return True

    def clear(self, cause: str | None = None) -> None:
        """Forget one cause, or all: the next appearance is logged again."""
        with self._lock:
            if cause is None:
                self._causes.clear()
            else:
                self._causes.discard(cause)
