"""What all sections of the configuration have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Closed and frozen: a misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
