"""Asking the searcher for one trial at a time, and not again and again where it has nothing to suggest."""

from __future__ import annotations

from typing import Any

from carbon_ray.tune.book import SweepBook
from carbon_ray.tune.internals import TuneInternals

DRY_STEPS = 20
"""Steps of Tune's loop before a searcher that had nothing to suggest is asked again."""


class Pulling:
    """Opens the searcher's door for one trial.

    Args:
        book: The trials.
        internals: Has the door.
    """

    def __init__(self, book: SweepBook, internals: TuneInternals) -> None:
        self._book, self._internals = book, internals
        self._steps_dry = 0
        self._added_when_pulled: int | None = None

    def may_suggest(self, tune_controller: Any) -> bool:
        """Whether the searcher may have another trial now."""
        return self._steps_dry == 0 and not tune_controller.search_alg.is_finished()

    def pull(self, staged: int) -> None:
        """Let the searcher suggest one trial in Tune's next step."""
        self._added_when_pulled = self._book.added
        self._internals.set_door(staged + 1)

    def note_step(self) -> None:
        """Whether a searcher that was asked had something."""
        if self._added_when_pulled is not None:
            is_dry = self._added_when_pulled == self._book.added
            self._added_when_pulled, self._steps_dry = None, DRY_STEPS if is_dry else 0
        else:
            self._steps_dry = max(0, self._steps_dry - 1)

    def note_change(self) -> None:
        """A trial has ended, or the decision is another: the searcher may have something again."""
        self._steps_dry = 0
