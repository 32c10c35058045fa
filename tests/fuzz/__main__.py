"""Fuzzes every reader of foreign bytes for a while: `python -m tests.fuzz --minutes 10 [--target neso ...] [--json OUT]`.

With `pip install atheris` the search is guided by coverage; without it good answers are changed at random, and the summary says so.
Each target runs in a process of its own, and the first undeclared error ends it. A finding is printed with its input.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MAX_BYTES = 4096
SLOW_S = 120
"""An input that takes longer is a finding too, as is one that needs 2 GiB."""


def main() -> int:
    """Run all targets, or one of them as a child; 0 without findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=1.0, help="for all targets together")
    parser.add_argument("--target", action="append", help="only these; by default all")
    parser.add_argument("--json", type=Path, help="write the summary here")
    parser.add_argument("--child", nargs=3, metavar=("TARGET", "SECONDS", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return _child(options.child[0], float(options.child[1]), Path(options.child[2]))
    targets = importlib.import_module("tests.fuzz.targets")
    names = options.target or [*(one.kit.name for one in targets.FUZZED), *targets.FILES]
    rows = [_run(name, options.minutes * 60 / len(names)) for name in names]
    is_guided = importlib.util.find_spec("atheris") is not None
    summary = {
        "engine": "atheris" if is_guided else "random changes",
        "seconds": sum(row["seconds"] for row in rows),
        "runs": sum(row["runs"] for row in rows),
        "findings": sum(row["finding"] is not None for row in rows),
        "targets": rows,
    }
    print(json.dumps(summary, indent=2))
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n")
    return 1 if summary["findings"] else 0


def _run(name: str, seconds: float) -> dict[str, Any]:
    """One target in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--child", name, str(max(1, round(seconds))), folder]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds * 3 + 1800, check=False)
        took_s = round(time.monotonic() - began, 1)
        told = done.stdout + done.stderr
        runs = re.findall(r"(?:Done|stat::number_of_executed_units:) (\d+)", told)
        crash = next((path.read_bytes() for path in Path(folder).glob("crash-*")), None)
        finding = None if done.returncode == 0 else {"output": told[-3000:], "input": repr(crash)}
    return {"target": name, "seconds": took_s, "runs": int(runs[-1]) if runs else 0, "finding": finding}


def _child(name: str, seconds: float, folder: Path) -> int:
    if importlib.util.find_spec("atheris") is None:
        return _at_random(name, seconds)
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["carbon_ray.providers"], enable_loader_override=False):
        targets = importlib.import_module("tests.fuzz.targets")
    _plant_keys()
    corpus = folder / "corpus"
    corpus.mkdir()
    words: set[bytes] = set()
    for number, seed in enumerate(targets.seeds(name)):
        (corpus / str(number)).write_bytes(seed)
        words |= set(re.findall(rb"[A-Za-z_.]{3,40}", seed))
    (folder / "words").write_text("".join(f'"{word.decode()}"\n' for word in sorted(words)))
    flags = [
        f"-max_total_time={seconds:.0f}",
        f"-max_len={MAX_BYTES}",
        f"-dict={folder / 'words'}",
        f"-artifact_prefix={folder}/",
        f"-timeout={SLOW_S}",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], lambda data: targets.run(name, bytes(data)))
    atheris.Fuzz()  # does not return
    return 0


def _at_random(name: str, seconds: float) -> int:
    targets = importlib.import_module("tests.fuzz.targets")
    _plant_keys()
    chance, until, runs = random.Random(20260203), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = bytearray(chance.choice(targets.seeds(name)))
        for _ in range(chance.randrange(6)):
            at, length = chance.randrange(len(data) + 1), chance.choice((0, 1, 1, 2, 8))
            data[at : at + length] = chance.choice(
                (b"", chance.randbytes(2), b"null", b"1e999", b"-1", b"[]", b"{}", b'"', b"9999-12-31T23:59Z")
            )
        try:
            targets.run(name, bytes(data[:MAX_BYTES]))
        except BaseException:
            print(f"input: {bytes(data)!r}")
            raise
        runs += 1
    print(f"Done {runs}")
    return 0


def _plant_keys() -> None:
    import logging
    import os

    samples = importlib.import_module("tests.providers.services.samples")
    os.environ.update(samples.KEYS)
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
