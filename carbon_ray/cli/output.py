"""Where words and documents go: tables and one JSON document to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console


def console() -> Console:
    """Standard output, for people."""
    return Console(highlight=False)


def print_json(document: Any) -> None:
    """Print the command's one JSON document.

    Raises:
        ValueError: A number in it is NaN or infinite.
    """
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
