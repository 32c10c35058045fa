"""`carbon-ray submit`: a command line to run on a cluster, through Ray's Jobs API."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shlex
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carbon_ray.cli.connection import first_line, jobs_url
from carbon_ray.cli.output import print_json
from carbon_ray.core.errors import ClusterError, ConfigError, TrainingError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_LOOK_S = 1.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def submit(
    command: Annotated[list[str], typer.Argument(help="What to run on the cluster, after `--`: python train.py ...")],
    address: Annotated[
        str | None, typer.Option(help="URL of the dashboard; RAY_API_SERVER_ADDRESS or the local cluster by default.")
    ] = None,
    working_dir: Annotated[Path, typer.Option(help="Directory that the job gets a copy of and runs in.")] = Path("."),
    name: Annotated[str | None, typer.Option(help="Name of the job; its id begins with it.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the output until the job ends.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document; the job's output goes to standard error.")] = False,
) -> None:
    """Run a command on a cluster as a Ray job, and show its output. Ctrl-C leaves the job running."""
    if not working_dir.is_dir():
        raise ConfigError(f"--working-dir {working_dir} is not a directory; name the one that holds what the command needs")
    if name is not None and not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r} may hold letters, digits, dots, dashes and underscores only")
    url, entrypoint = jobs_url(address), shlex.join(command)
    client = open_client(url)
    job_id = _start(client, entrypoint, working_dir, name)
    say = _to_stderr
    say(f"job {job_id} submitted to {url}")
    status, message = "SUBMITTED", ""
    if wait:
        try:
            _show_output(client, job_id, sys.stderr.write if json else sys.stdout.write, say)
            status, message = _end_state(client, job_id)
        except KeyboardInterrupt:
            say(f"\nthe job goes on. {_how(url, job_id)}")
            raise
    else:
        say(_how(url, job_id))
    if json:
        print_json({"submission_id": job_id, "status": status, "message": message, "address": url, "entrypoint": entrypoint})
    if wait and status != "SUCCEEDED":
        raise TrainingError(f"job {job_id} ended as {status}: {message or 'no reason given'}")


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _how(url: str, job_id: str) -> str:
    return f"follow it: ray job logs --address {url} --follow {job_id}\nstop it:   ray job stop --address {url} {job_id}"


def open_client(url: str) -> JobSubmissionClient:
    """A client of the Jobs API.

    Raises:
        ClusterError: What answers there is no Jobs API of this Ray version.
    """
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.WARNING)  # it tells of uploads and sockets otherwise
    try:
        return JobSubmissionClient(url)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Jobs API at {url}: {first_line(error)}") from error


def _start(client: JobSubmissionClient, entrypoint: str, working_dir: Path, name: str | None) -> str:
    job_id = None if name is None else f"{name}-{secrets.token_hex(3)}"
    try:
        started: str = client.submit_job(
            entrypoint=entrypoint,
            submission_id=job_id,
            runtime_env={"working_dir": str(working_dir.resolve())},
            metadata=None if name is None else {"name": name},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"the job was not accepted: {first_line(error)}") from error
    return started


def _show_output(client: JobSubmissionClient, job_id: str, write: Callable[[str], object], say: Callable[[str], None]) -> None:
    """Copy the job's output as it comes; without a stream, wait."""
    import aiohttp

    async def follow() -> None:
        async for lines in client.tail_job_logs(job_id):
            write(lines)
            (sys.stderr if write == sys.stderr.write else sys.stdout).flush()

    try:
        asyncio.run(follow())
    except (RuntimeError, aiohttp.ClientError, OSError) as error:
        say(f"the output cannot be followed any more ({first_line(error)}); waiting for the end")


def _end_state(client: JobSubmissionClient, job_id: str) -> tuple[str, str]:
    """Status and message of the ended job."""
    pause = threading.Event()
    while True:
        try:
            info = client.get_job_info(job_id)
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(f"the cluster cannot be asked about job {job_id} any more: {first_line(error)}") from error
        if info.status.is_terminal():
            # The message ends with the log, which was shown.
            lines = (info.message or "").partition(", last available logs")[0].splitlines()
            return str(info.status.value), lines[0] if lines else ""
        pause.wait(_LOOK_S)
