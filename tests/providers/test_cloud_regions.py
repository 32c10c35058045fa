"""The table of cloud regions: whole, on the map, with its sources, and found by whatever one knows of a region."""

from __future__ import annotations

import csv
import os
from importlib.resources import files
from pathlib import Path

import pytest

from carbon_ray.core.errors import UnknownRegionError
from carbon_ray.providers.cloud_regions import cloud_region, cloud_regions, matching
from carbon_ray.providers.embedded import EmbeddedProvider

ALL = cloud_regions()
SOURCE = Path(os.environ.get("CARBON_RAY_DATA", Path(__file__).parents[3] / "shared" / "data")) / "regions" / "cloud_regions.csv"

# Regions in which the three large clouds offer GPUs, by their public lists.
_LISTED = """
aws/us-east-1 aws/us-east-2 aws/us-west-1 aws/us-west-2 aws/ca-central-1 aws/eu-central-1 aws/eu-west-1 aws/eu-west-2 aws/eu-west-3
aws/eu-north-1 aws/eu-south-2 aws/ap-northeast-1 aws/ap-northeast-2 aws/ap-south-1 aws/ap-southeast-1 aws/ap-southeast-2 aws/sa-east-1
gcp/us-central1 gcp/us-east1 gcp/us-east4 gcp/us-east5 gcp/us-west1 gcp/us-west2 gcp/us-west4 gcp/europe-west1 gcp/europe-west2
gcp/europe-west3 gcp/europe-west4 gcp/asia-east1 gcp/asia-northeast1 gcp/asia-northeast3 gcp/asia-south1 gcp/asia-southeast1
azure/eastus azure/eastus2 azure/southcentralus azure/westus2 azure/westus3 azure/northcentralus azure/canadacentral azure/northeurope
azure/westeurope azure/uksouth azure/francecentral azure/germanywestcentral azure/swedencentral azure/switzerlandnorth azure/japaneast
azure/koreacentral azure/australiaeast azure/southeastasia azure/centralindia azure/brazilsouth
"""
GPU_REGIONS = _LISTED.split()


@pytest.mark.parametrize("name", GPU_REGIONS)
def test_regions_with_gpus_are_there_and_whole(name: str) -> None:
    one = cloud_region(name)
    assert one.name == name
    assert one.zone
    assert one.location
    assert one.pue is not None
    assert one.latitude is not None


def test_every_row_is_possible_and_names_its_sources() -> None:
    assert len(ALL) == len({one.name for one in ALL}) == 180
    assert [one.name for one in ALL] == sorted(one.name for one in ALL)
    for one in ALL:
        assert one.zone, one
        assert one.zone_source, one
        assert (one.pue is None) == (one.pue_source == ""), one
        assert one.pue is None or 1.0 < one.pue < 1.6, one
        assert (one.latitude is None) == (one.longitude is None), one
        assert one.latitude is None or (-90 < one.latitude < 90 and -180 <= (one.longitude or 0) < 180), one


@pytest.mark.parametrize(
    # a box around each, degrees, read off a map
    ("name", "zone", "south", "north", "west", "east"),
    [
        ("aws/eu-central-1", "DE", 49, 51, 8, 9),
        ("aws/sa-east-1", "BR-CS", -24, -23, -47, -46),
        ("azure/northeurope", "IE", 53, 54, -7, -6),
        ("azure/westus", "US-CAL-CISO", 36, 39, -123, -121),
        ("gcp/us-south1", "US-TEX-ERCO", 32, 33, -97.5, -96),
        ("gcp/us-east5", "US-MIDA-PJM", 39, 41, -84, -82),
        ("gcp/me-central1", "QA", 25, 26, 51, 52),
    ],
)
def test_namesakes_are_not_mistaken(name: str, zone: str, south: float, north: float, west: float, east: float) -> None:
    one = cloud_region(name)
    assert one.zone == zone
    assert one.latitude is not None
    assert one.longitude is not None
    assert south <= one.latitude <= north
    assert west <= one.longitude <= east


def test_the_embedded_profile_covers_zones_of_each_large_cloud() -> None:
    assert len(EmbeddedProvider().zones()) >= 24
    covered = {one.zone for one in ALL if one.has_profile}
    assert covered <= set(EmbeddedProvider().zones())
    assert len(covered) >= 24
    for cloud in ("aws", "azure", "gcp"):
        assert len({one.zone for one in ALL if one.cloud == cloud and one.has_profile}) >= 12, cloud


@pytest.mark.parametrize("name", ["azure/westcentralus", "azure/westus2", "azure/westus3", "aws/us-west-2", "gcp/us-west1", "gcp/us-west2"])
def test_what_is_doubtful_says_so(name: str) -> None:
    assert "zone" in cloud_region(name).doubt


def test_google_regions_without_a_published_pue_are_marked() -> None:
    fleet = [one for one in ALL if one.pue_source.startswith("fleet value")]
    assert {one.cloud for one in fleet} == {"gcp"}
    assert {one.pue for one in fleet} == {1.1}


@pytest.mark.parametrize("name", ["eu-central-1", "aws/eu-central", "aws", "", "aws/eu-central-1/", "nobody/eu-central-1"])
def test_an_unknown_region_is_told_with_its_likes(name: str) -> None:
    with pytest.raises(UnknownRegionError, match="unknown region") as error:
        cloud_region(name)
    assert any(words in str(error.value) for words in ("did you mean", "known: "))


def test_case_does_not_matter() -> None:
    assert cloud_region("Scaleway/par1") is cloud_region("scaleway/PAR1")


@pytest.mark.parametrize(
    ("wanted", "some", "none"),
    [
        ({"text": "frankfurt"}, {"aws/eu-central-1", "azure/germanywestcentral", "gcp/europe-west3"}, {"azure/germanynorth"}),
        ({"text": "frankfurt aws"}, {"aws/eu-central-1"}, {"gcp/europe-west3"}),
        ({"zone": "us"}, {"aws/us-east-1", "azure/westus2"}, {"azure/australiaeast"}),
        ({"zone": "US-CAL"}, {"aws/us-west-1"}, {"gcp/us-east1"}),
        ({"zone": "DE", "cloud": "AWS"}, {"aws/eu-central-1"}, {"gcp/europe-west3", "azure/denmarkeast"}),
        ({"only_profiled": True}, {"aws/eu-central-1"}, {"aws/eu-west-3"}),
        ({"text": "LADWP"}, {"gcp/us-west2"}, {"aws/us-west-1"}),
    ],
)
def test_search(wanted: dict[str, object], some: set[str], none: set[str]) -> None:
    found = {one.name for one in matching(ALL, **wanted)}  # type: ignore[arg-type]  # a table
    assert some <= found
    assert not none & found


def test_nothing_fits_nothing() -> None:
    assert matching(ALL, text="atlantis") == ()
    assert matching(ALL) == ALL


@pytest.mark.skipif(not SOURCE.exists(), reason="needs the collected table that the shipped one is derived of")
def test_the_shipped_table_is_the_collected_one_but_for_what_its_notice_says() -> None:
    rows = {f"{row['provider']}/{row['region']}": row for row in csv.DictReader(SOURCE.read_text(encoding="utf-8").splitlines())}
    assert set(rows) == {one.name for one in ALL}
    for one in ALL:
        row = rows[one.name]
        for ours, theirs in ((one.latitude, row["latitude"]), (one.longitude, row["longitude"])):
            assert ours == (float(theirs) if theirs else None), one
        assert (one.zone, one.zone_source) == (row["grid_zone"], row["zone_source"])
        if one.cloud == "gcp" and not row["pue"]:
            assert one.pue == 1.1
        else:
            assert (one.pue, one.pue_source) == (float(row["pue"]) if row["pue"] else None, row["pue_source"])
        kept = [part for part in row["doubt"].split("; ") if "PUE" not in part and "WUE" not in part]
        assert [part for part in one.doubt.split("; ") if "PUE" not in part] == kept or not any(kept), one


def test_the_notice_names_the_sources_of_the_table() -> None:
    text = (files("carbon_ray.providers") / "data" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for words in ("cloud_regions.csv", "real-time-cloud", "GreenKube", "SPRUCE", "Carbon Aware SDK"):
        assert words in text
