"""LightGBM in segments: a callback that reports every round, and where to go on.

Exact (bit-equal to an uninterrupted run) without bagging and feature sampling and with `deterministic=True`; LightGBM does
not save the state of its random sampling, so with sampling a resumed run is a valid but another one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import ray.train

from carbon_ray.train.report import report

MODEL_FILE = "model.txt"


class ReportCallback:
    """Pass it in `lightgbm.train(..., callbacks=[ReportCallback()])` in the place of Ray's RayTrainReportCallback.

    Reports each round's metrics as `<data set>-<metric>` with `step`, the number of rounds done, and saves the model when
    a checkpoint is due.
    """

    order = 30  # after LightGBM's own recording callbacks (20), before none

    def __call__(self, env: Any) -> None:
        """Report the round that has just ended."""
        metrics: dict[str, Any] = {f"{one[0]}-{one[1]}": one[2] for one in env.evaluation_result_list or []}
        metrics["step"] = env.iteration + 1

        def save(directory: str) -> None:
            if ray.train.get_context().get_world_rank() == 0:
                env.model.save_model(str(Path(directory) / MODEL_FILE), num_iteration=-1)

        report(metrics, checkpoint=save)


def load_model(checkpoint: ray.train.Checkpoint) -> lightgbm.Booster:
    """The model in a checkpoint that `ReportCallback` saved."""
    with checkpoint.as_directory() as directory:
        return lightgbm.Booster(model_file=str(Path(directory) / MODEL_FILE))


def resume(num_boost_round: int) -> tuple[lightgbm.Booster | None, int]:
    """Where to go on: `init_model` and the rounds left, for `lightgbm.train`.

    Args:
        num_boost_round: Rounds of the whole training.
    """
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None, num_boost_round
    model = load_model(checkpoint)
    return model, max(0, num_boost_round - model.current_iteration())
