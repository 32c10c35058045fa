"""Where a region stands, as people write it: a grid zone and a PUE, or a cloud region that has both."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from carbon_ray.config.section import Section
from carbon_ray.core.errors import UnknownRegionError
from carbon_ray.providers.cloud_regions import cloud_region

DEFAULT_PUE = 1.2
"""Of a region whose PUE is neither written nor published."""


class SiteSettings(Section):
    """Where a region stands: its grid zone and its buildings."""

    cloud: str | None = Field(default=None, description="Cloud region, as in `carbon-ray regions`: aws/eu-central-1; gives zone and pue")
    zone: str | None = Field(
        default=None, min_length=1, description="Grid zone, as in `carbon-ray forecast --zones`; wins over that of the cloud region"
    )
    pue: float | None = Field(
        default=None, ge=1, description=f"Site energy per IT energy; default: that of the cloud region, or {DEFAULT_PUE}"
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.cloud is not None:
            try:
                cloud_region(self.cloud)
            except UnknownRegionError as error:
                raise ValueError(f"cloud: {error}; `carbon-ray regions` lists all") from None
        elif self.zone is None:
            raise ValueError("a region needs a zone, or a cloud (such as aws/eu-central-1) that gives it one")
        return self

    @property
    def grid_zone(self) -> str:
        """The zone as written, else that of the cloud region."""
        if self.zone is not None:
            return self.zone
        assert self.cloud is not None  # checked when it was read
        return cloud_region(self.cloud).zone

    @property
    def site_pue(self) -> float:
        """The PUE as written, else that of the cloud region, else the default."""
        if self.pue is not None:
            return self.pue
        published = cloud_region(self.cloud).pue if self.cloud is not None else None
        return DEFAULT_PUE if published is None else published
