"""Rules that every file of the tree keeps."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOMES = ("carbon_ray", "actors", "policies")
MODULES = sorted(
    Path(folder, name).relative_to(ROOT)
    for home in HOMES
    for folder, _, names in os.walk(ROOT / home)  # does not follow the links
    for name in names
    if name.endswith(".py")
)
MAX_LINES = 400
# Somebody's home directory; the users of common container and machine images are nobody's.
HOME = re.compile(r"/(?:home|Users)/(?!ray\b|ubuntu\b|ec2-user\b)[A-Za-z][\w.-]*/|(?<![\w.])/(?:root)/|[A-Z]:\\Users\\")


def tracked() -> list[Path]:
    """Files of the tree that are, or would be, under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_modules_are_found() -> None:
    assert len(MODULES) > 20
    assert {path.parts[0] for path in MODULES} == set(HOMES)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    assert docstring
    assert docstring.splitlines()[0].strip()[-1] in ".:;,", "the first line is a sentence, or goes on"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_is_too_long(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "manager.py", "common.py", "misc.py"])
def test_no_module_is_a_drawer(name: str) -> None:
    assert name not in {path.name for path in MODULES}


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("/ho" + "me/jane/data.csv", True),
        ("/Us" + "ers/jane/data.csv", True),
        ("cd /ro" + "ot/work", True),
        ("C:" + "\\Users\\jane", True),
        ("/ho" + "me/ray/anaconda3", False),
        ("https://example.org/" + "root/x", False),
        ("../shared", False),
    ],
)
def test_what_counts_as_a_home_directory(text: str, is_found: bool) -> None:
    assert bool(HOME.search(text)) is is_found


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs git to tell the tree's files from others")
def test_no_file_names_a_place_on_one_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if HOME.search(text) or str(ROOT) in text:
            found.append(str(path.relative_to(ROOT)))
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
    assert not list((ROOT / "tests").rglob("__init__.py"))
