"""Boosted trees over many zones: LightGBM models that each left out one stretch of time, used together.

What a model says of its own left-out stretch measures errors as they will be; the mean of all is what is forecast. Trained with few
rows a zone where there are many zones, so that the time for it grows slowly.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray

if TYPE_CHECKING:
    import lightgbm

Rows = NDArray[np.float32]
_COMMON = {
    "learning_rate": 0.08,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "min_data_in_leaf": 40,
    "lambda_l2": 5.0,
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How trees are grown.

    Attributes:
        rounds: Trees a model.
        leaves: Leaves a tree at most.
        threads: Of LightGBM; more are faster and change nothing.
        seed: Of all draws.
        objective: Of LightGBM.
    """

    rounds: int
    leaves: int
    threads: int
    seed: int
    objective: str = "l1"


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Models as LightGBM writes them; they pickle and are read when first asked.

    Attributes:
        texts: One a stretch of time.
        threads: Of LightGBM when predicting.
    """

    texts: tuple[str, ...] = field(repr=False)
    threads: int = 1

    @classmethod
    def grow(cls, rows: Rows, truth: FloatArray, weight: FloatArray, fold: NDArray[np.intp], folds: int, growth: Growth) -> Trees:
        """Train one model for each stretch, on all rows but those of the stretch; with one stretch, on all rows.

        Args:
            rows: Shape (n, columns); the last column is the number of the zone, a category. NaN where something is not known.
            truth: Shape (n,).
            weight: Of each row, shape (n,).
            fold: The stretch of each row, from 0.
            folds: Stretches.
            growth: How.
        """
        import lightgbm  # slow to import: only where trees are used

        texts = []
        zone = rows.shape[1] - 1
        for one in range(folds):
            kept = fold != one if folds > 1 else np.ones(len(rows), dtype=np.bool_)
            data = lightgbm.Dataset(rows[kept], truth[kept], weight=weight[kept], categorical_feature=[zone], free_raw_data=True)
            # Trees that are split at random and trees that are not err differently: their mean is better than either.
            parameters: dict[str, Any] = {
                **_COMMON,
                "objective": growth.objective,
                "num_leaves": growth.leaves,
                "num_threads": growth.threads,
                "seed": growth.seed * 1000 + one,
                "extra_trees": one % 2 == 0,
            }
            texts.append(lightgbm.train(parameters, data, growth.rounds).model_to_string())
        return cls(tuple(texts), growth.threads)

    def predict(self, rows: Rows) -> FloatArray:
        """The mean of all models, shape (n,)."""
        total: FloatArray = np.mean([_read(text).predict(rows, num_threads=self.threads) for text in self.texts], axis=0)
        return total

    def predict_unseen(self, rows: Rows, fold: NDArray[np.intp]) -> FloatArray:
        """For rows of a stretch, what the model says that left it out, shape (n,)."""
        out = np.empty(len(rows))
        for one, text in enumerate(self.texts):
            chosen = fold == one if len(self.texts) > 1 else np.ones(len(rows), dtype=np.bool_)
            if chosen.any():
                out[chosen] = _read(text).predict(rows[chosen], num_threads=self.threads)
        return out


@functools.lru_cache(maxsize=64)
def _read(text: str) -> lightgbm.Booster:
    import lightgbm

    return lightgbm.Booster(model_str=text)


def stretches(count: int, folds: int) -> NDArray[np.intp]:
    """For issues in order of time, the stretch that each belongs to, shape (count,)."""
    return np.minimum(np.arange(count) * folds // max(count, 1), folds - 1)


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of many zones below each other."""
    return np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)
