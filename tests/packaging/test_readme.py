"""The README promises nothing that is not there: its code compiles, its links, targets, commands and names exist."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
from typer.main import get_command

from carbon_ray.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
CONSOLE = [line for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL) for line in block.splitlines()]


def test_python_blocks_compile_and_their_imports_exist() -> None:
    assert PYTHON
    for block in PYTHON:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("carbon_ray"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


def test_the_trainer_is_called_with_arguments_that_it_takes() -> None:
    from inspect import signature

    from carbon_ray import CarbonAwareTrainer

    calls = [
        node
        for block in PYTHON
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CarbonAwareTrainer"
    ]
    assert calls
    for call in calls:
        assert {keyword.arg for keyword in call.keywords} <= set(signature(CarbonAwareTrainer).parameters)


@pytest.mark.parametrize("target", sorted({*re.findall(r"`make ([a-z-]+)`", README), "demo", "test"}))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_linked_files_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_exist() -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]  # Typer's command is a group here
    named = set(re.findall(r"carbon-ray ([a-z]+)", " ".join(CONSOLE) + README))
    assert named
    assert named <= known
    files = [word for line in CONSOLE for word in line.split("#")[0].split() if word.endswith((".py", ".yaml"))]
    assert [name for name in files if not (ROOT / name).exists()] == []
