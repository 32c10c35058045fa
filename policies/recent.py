"""What was answered before, by the identity of immutable arguments: many workloads ask the same of one forecast at one tick."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Recent(Generic[Answer]):
    """The last answers of a pure function, so that who asks cannot tell whether one was made anew.

    Keys may name objects by `id`: those are held as long as the answer is, so that no other object can get the same `id`.

    Args:
        most: Answers to remember; the one that was asked for longest ago goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[Hashable, tuple[object, Answer]] = OrderedDict()

    def get(self, key: Hashable, held: object, make: Callable[[], Answer], *, fits: Callable[[Answer], bool] | None = None) -> Answer:
        """The answer for a key.

        Args:
            key: All that the answer depends on, objects by their `id`.
            held: Those objects.
            make: Makes the answer.
            fits: Whether a remembered answer will do; without it each does.
        """
        known = self._answers.get(key)
        if known is None or (fits is not None and not fits(known[1])):
            known = held, make()
            self._answers[key] = known
            if len(self._answers) > self._most:
                self._answers.popitem(last=False)
        else:
            with contextlib.suppress(KeyError):  # another thread's answers have pushed it out meanwhile
                self._answers.move_to_end(key)
        return known[1]
