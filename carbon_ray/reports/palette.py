"""The colours of charts and page, told apart by every kind of colour vision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Source: Okabe and Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/; without black and yellow, which
# vanish on a dark and on a light page.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")

RUN_NOW, CARBON_AWARE, CLAIRVOYANT = "#D55E00", "#009E73", "#56B4E9"

INK, MUTED, LINE, SURFACE = "#0b0c0d", "#5b5c5d", "#cbcccd", "#fbfcfd"
"""Stand-ins that a chart is drawn in; `THEMED` says which variable of the page's style each one becomes."""

THEMED: Mapping[str, str] = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", SURFACE: "var(--surface)"}


def region_colours(regions: Iterable[str]) -> dict[str, str]:
    """A colour for each region, the same for the same set of names; past six regions colours come again."""
    return {region: OKABE_ITO[position % len(OKABE_ITO)] for position, region in enumerate(sorted(set(regions)))}
