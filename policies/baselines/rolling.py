"""A rule rolled forward: what it would do, slot by slot, if the forecast came true."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from carbon_ray.policies.baselines.windows import TIE
from carbon_ray.policies.outlook import Outlook, Rule, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """The course of a rule over an outlook.

    Attributes:
        runs: What was done in each slot, up to the one that finishes the work or the last of the outlook; None is to hold nothing.
        working: Whether the slot makes progress (start-up slots do not), same length.
        left: Slots of work that did not fit; 0 where all was done.
    """

    runs: tuple[Run | None, ...]
    working: tuple[bool, ...]
    left: float


def after(outlook: Outlook, run: Run | None) -> Outlook:
    """The outlook one slot later, if the forecast came true; perhaps without a slot ahead or without work left.

    A change of the worker count in the same region takes no start-up here: the outlook does not say how many run.
    """
    past = outlook.past_gco2
    if past is None and outlook.elapsed == 0:
        past = outlook.gco2[:0]
    later = replace(
        outlook,
        gco2=outlook.gco2[1:],
        usd=outlook.usd[1:],
        past_gco2=None if past is None else np.concatenate([past, outlook.gco2[:1]]),
        elapsed=outlook.elapsed + 1,
    )
    if run is None:
        return replace(later, waited=outlook.waited + 1, is_running=False, starting_slots=0)
    goes_on = outlook.is_running and run.region == outlook.at
    starting = outlook.starting_slots if goes_on else outlook.startup_slots
    left = outlook.left if starting else max(0.0, outlook.left - outlook.throughput[run.workers - 1])
    return replace(later, left=left, at=run.region, is_running=True, is_started=True, starting_slots=max(0, starting - 1))


def roll(rule: Rule, outlook: Outlook) -> Rolled:
    """Ask the rule in every slot of the outlook until the work is done."""
    runs, working = list[Run | None](), list[bool]()
    while len(outlook.gco2) and outlook.left > TIE:
        run = rule.act(outlook)
        following = after(outlook, run)
        runs.append(run)
        working.append(following.left < outlook.left)
        outlook = following
    return Rolled(runs=tuple(runs), working=tuple(working), left=outlook.left if outlook.left > TIE else 0.0)
