"""`carbon-ray regions`: lists, searches, and says what it is not sure of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def names(ran: Any) -> list[str]:
    assert (ran.code, ran.err) == (0, "")
    return [one["name"] for one in ran.json["regions"]]


def test_all_regions_as_json(carbon_ray: Run) -> None:
    document = carbon_ray("regions", "--json").json
    assert list(document) == ["regions", "attribution"]
    assert len(document["regions"]) == 180
    assert "real-time-cloud" in document["attribution"]
    one = next(one for one in document["regions"] if one["name"] == "aws/eu-central-1")
    assert one == {
        "name": "aws/eu-central-1",
        "cloud": "aws",
        "region": "eu-central-1",
        "location": "Europe (Frankfurt)",
        "zone": "DE",
        "zone_source": "real-time-cloud",
        "latitude": 50.111,
        "longitude": 8.682,
        "pue": 1.35,
        "pue_source": "real-time-cloud 2024 or earlier",
        "doubt": "",
        "has_profile": True,
    }


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--cloud", "gcp", "--zone", "DE"], ["gcp/europe-west10", "gcp/europe-west3"]),
        (["frankfurt", "--cloud", "AWS"], ["aws/eu-central-1"]),
        (["las", "vegas"], ["gcp/us-west4"]),
        (["--cloud", "aws", "--zone", "CN", "--profile"], []),
        (["--cloud", "aws", "--zone", "US-NW", "--doubtful"], ["aws/us-gov-west-1", "aws/us-west-2"]),
    ],
)
def test_search_as_json(carbon_ray: Run, words: list[str], wanted: list[str]) -> None:
    assert names(carbon_ray("regions", *words, "--json")) == wanted


def test_the_table_shows_profile_and_doubt(carbon_ray: Run) -> None:
    ran = carbon_ray("regions", "oregon")
    assert ran.code == 0
    for words in ("aws/us-west-2", "gcp/us-west1", "US-NW-BPAT", "yes", "disagree", "regions in", "cloud: aws/us-west-2"):
        assert words in ran.out
    assert "no" in carbon_ray("regions", "paris").out


def test_nothing_found_is_no_failure(carbon_ray: Run) -> None:
    ran = carbon_ray("regions", "atlantis")
    assert (ran.code, ran.err) == (0, "")
    assert "no region fits" in ran.out


def test_an_unknown_cloud_is_told(carbon_ray: Run) -> None:
    ran = carbon_ray("regions", "--cloud", "ibm")
    assert ran.code == 2
    assert ran.error == "unknown cloud 'ibm'; use one of aws, azure, gcp, ovh, scaleway"
