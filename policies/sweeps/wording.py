"""Why a sweep does what it does, in a line."""

from __future__ import annotations

from carbon_ray.policies.sweeps.supply import Fill

PAST_DEADLINE = "the deadline leaves no time for another iteration: the sweep ends"
BUDGET_USED = "the carbon budget does not pay for another iteration: the sweep ends"
LATE = "its next iteration would end after the deadline"


def hopeless(chance: float) -> str:
    """Of a trial that is ended."""
    return f"its chance to become the best ({chance:.1e}) is not worth the carbon of clean hours, which others can use"


def reason_of(plan: Fill, here_gco2_per_h: float, count: int, most: int, *, is_forced: bool, is_flat: bool) -> str:
    """Of the number of trials that run now.

    Args:
        plan: What was planned.
        here_gco2_per_h: What a running trial emits now, g per hour, in the cleanest region.
        count: Trials that may run.
        most: Trials that could.
        is_forced: The deadline leaves no choice.
        is_flat: Waiting would save next to nothing.
    """
    if is_forced:
        return "everything runs: the deadline leaves no time to wait"
    if is_flat:
        return f"everything runs: waiting would save {100 * max(0.0, plan.saving_fraction):.1f} %, which is not worth it"
    price = f"a trial emits {here_gco2_per_h:.0f} g/h now, the dearest planned hour is at {plan.marginal_gco2_per_h:.0f} g/h"
    saving = f"the plan emits {100 * plan.saving_fraction:.0f} % less than running on"
    if count >= most:
        return f"everything runs: {price}; {saving}"
    return f"{count or 'none'} of {most} may run: {price}; {saving}"
