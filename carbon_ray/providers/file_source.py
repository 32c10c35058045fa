"""Base of the sources that are one file: read and checked whole when they are made, then only looked up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from carbon_ray.core.errors import ConfigError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.base import Capabilities

_USUAL_STEP_S = 3600.0


class _Stepped(Protocol):
    """Something with a step."""

    @property
    def step_s(self) -> float:
        """Seconds."""
        ...


T = TypeVar("T", bound=_Stepped)


class FileSource(Generic[T]):
    """History of the zones of one file.

    Args:
        path: The file.
        kind: What it counts.

    Raises:
        ConfigError: `kind` is no intensity kind.
    """

    name: ClassVar[str]

    def __init__(self, path: str | Path, kind: IntensityKind | str) -> None:
        try:
            self._kind = IntensityKind(kind)
        except ValueError:
            raise ConfigError(f"unknown intensity kind {kind!r}; use one of {', '.join(IntensityKind)}") from None
        self._path = Path(path)
        self._found: Mapping[str, T] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r}, kind={self._kind.value!r}, zones={self.zones()!r})"

    @property
    def kind(self) -> IntensityKind:
        """The kind that was asked for."""
        return self._kind

    @property
    def capabilities(self) -> Capabilities:
        """History of the file's zones, at the file's shortest step."""
        return Capabilities(
            history=True,
            forecast=False,
            mix=False,
            marginal=self._kind is IntensityKind.MARGINAL,
            zones=self.zones(),
            resolution_s=min((one.step_s for one in self._found.values()), default=_USUAL_STEP_S),
        )

    def zones(self) -> tuple[str, ...]:
        """The zones that it serves, sorted."""
        return tuple(self._found)

    def _of(self, zone: str) -> T:
        """What the file has of a zone.

        Raises:
            UnknownZoneError: Nothing.
        """
        try:
            return self._found[zone]
        except KeyError:
            raise UnknownZoneError(zone, self.zones()) from None
