"""Carbon as a second objective of a searcher: Optuna looks for good scores and for cheap ones at once.

Tune wants to find every metric of a searcher in what the trainable itself reports, and the carbon of a trial is no such thing: it is added
on the way. So the searcher is wrapped in one that names only the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from ray.tune.search import Searcher

from carbon_ray.core.errors import ConfigError
from carbon_ray.tune.columns import CARBON


class CarbonSecond(Searcher):  # type: ignore[misc]  # ray is untyped
    """Hands a searcher of several objectives what a trial scored and what it emitted.

    Args:
        searcher: Has the score first and `carbon_gco2` (to be small) second among its metrics.

    Raises:
        ConfigError: It has not.
    """

    def __init__(self, searcher: Searcher) -> None:
        metrics, modes = searcher.metric, searcher.mode
        if not isinstance(metrics, (list, tuple)) or list(metrics[1:]) != [CARBON] or list(modes)[1:] != ["min"]:
            raise ConfigError(f"the searcher's metrics must be [score, {CARBON!r}] with modes [..., 'min'], got {metrics!r} with {modes!r}")
        super().__init__(metric=metrics[0], mode=modes[0])
        self.searcher = searcher

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Hand on the search space; metric and mode of the sweep must be those of the score."""
        if (metric or self.metric) != self.metric or (mode or self.mode) != self.mode:
            return False
        return bool(self.searcher.set_search_properties(None, None, config, **spec))

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next configuration."""
        configuration: dict[str, Any] | None = self.searcher.suggest(trial_id)
        return configuration

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A result on the way."""
        self.searcher.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The end of a trial: its last score, and its carbon."""
        self.searcher.on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Save the searcher."""
        self.searcher.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Restore the searcher."""
        self.searcher.restore(checkpoint_path)


def optuna_with_carbon(metric: str, mode: str = "max", *, space: Any = None, seed: int | None = None, **options: Any) -> CarbonSecond:
    """An Optuna searcher for the score and, as little as possible, carbon; needs `pip install carbon-ray[optuna]`.

    Args:
        metric: Name of the score.
        mode: "max" or "min".
        space: As in `OptunaSearch`; by default Tune's `param_space` is used.
        seed: Of the sampler.
        options: Further arguments of `OptunaSearch`.

    Raises:
        ConfigError: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise ConfigError("Optuna is not installed: pip install 'carbon-ray[optuna]'")
    from ray.tune.search.optuna import OptunaSearch

    names: Sequence[str] = [metric, CARBON]
    return CarbonSecond(OptunaSearch(space, metric=names, mode=[mode, "min"], seed=seed, **options))
