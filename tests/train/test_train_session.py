"""A segment as its workers see it, on a fake Ray Train: `ray.train.report`, its context, broadcast, and the controller actor
are replaced by the plain functions below; what a checkpoint holds is read when it is reported, as Ray does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.train
import ray.train.collective

from carbon_ray.actors.progress import Beat
from carbon_ray.core.clock import ReplayClock
from carbon_ray.core.decision import Directive, Placement
from carbon_ray.train.report import report
from carbon_ray.train.session import BEAT_THREAD, SegmentEnd, SegmentInfo, current, run_segment

HERE = Placement(region="east", workers=2)
FILE = "step.txt"
GO_ON = Directive(workload_id="run", epoch=1, target=HERE, reason="as you are")
SUSPEND = Directive(workload_id="run", epoch=2, target=None, reason="dirty")


def info_of(**changes: Any) -> SegmentInfo:
    given: dict[str, Any] = {
        "workload_id": "run",
        "segment_index": 3,
        "epoch": 1,
        "placement": HERE,
        "clock": ReplayClock(start_at=datetime(2022, 5, 2, tzinfo=UTC), speedup=60.0, origin_at=datetime(2022, 5, 2, tzinfo=UTC)),
        "checkpoint_every_s": 3600.0,
        "beat_every_s": 0.001,
    }
    return SegmentInfo(**{**given, **changes})


class FakeTrain:
    """What a worker sees of Ray: reports are kept with their metrics and their checkpoint's content, or None."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rank, self.world_size = 0, 1
        self.reports: list[tuple[dict[str, Any], str | None]] = []
        self.folders: list[Path] = []
        self.orders: list[Any] = []
        self.answer: Directive | Exception = GO_ON
        self.beats: list[Beat] = []
        self._heard = threading.Condition()
        monkeypatch.setattr(ray.train, "report", self._report)
        monkeypatch.setattr(
            ray.train,
            "get_context",
            lambda: SimpleNamespace(get_world_rank=lambda: self.rank, get_world_size=lambda: self.world_size),
        )
        monkeypatch.setattr(ray.train.collective, "broadcast_from_rank_zero", self._broadcast)
        monkeypatch.setattr(ray, "get_actor", self._get_actor)
        monkeypatch.setattr(ray, "get", lambda answer, timeout: answer)

    def _report(self, metrics: dict[str, Any], checkpoint: Any = None, **options: Any) -> None:
        content = None
        if checkpoint is not None:
            self.folders.append(Path(checkpoint.path))
            content = (Path(checkpoint.path) / FILE).read_text()
        self.reports.append(({**metrics, **options}, content))

    def _broadcast(self, order: Any) -> Any:
        """Rank 0 runs first and leaves its answers; the others read them in the same order."""
        if self.rank == 0:
            self.orders.append(order)
            return order
        return self.orders.pop(0)

    def _get_actor(self, name: str, namespace: str) -> Any:
        assert (name, namespace) == ("controller", "carbon_ray")
        return SimpleNamespace(beat=SimpleNamespace(remote=self._beat))

    def _beat(self, beat: Beat) -> Directive:
        with self._heard:
            self.beats.append(beat)
            self._heard.notify_all()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def wait_for_beats(self) -> None:
        """Until an answer to a beat that was sent from now on has been taken: the third one is sent after the second was."""
        with self._heard:
            until = len(self.beats) + 3
            assert self._heard.wait_for(lambda: len(self.beats) >= until, timeout=30.0)

    def wait_until_quiet(self) -> None:
        """Until the threads of ended segments are gone: one may be in the middle of its last beat."""
        for thread in threading.enumerate():
            if thread.name == BEAT_THREAD:
                thread.join(30.0)
                assert not thread.is_alive()


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTrain]:
    train = FakeTrain(monkeypatch)
    yield train
    train.wait_until_quiet()


def saver(step: int, taken: list[int] | None = None) -> Callable[[str], object]:
    def save(folder: str) -> None:
        (Path(folder) / FILE).write_text(str(step))
        if taken is not None:
            taken.append(step)

    return save


def eager(folder: Path, step: int) -> ray.train.Checkpoint:
    own = folder / str(step)
    own.mkdir()
    (own / FILE).write_text(str(step))
    return ray.train.Checkpoint.from_directory(str(own))


# Checkpoints by a callable


def test_a_callable_is_taken_only_when_a_checkpoint_is_due_and_at_the_end(train: FakeTrain) -> None:
    taken: list[int] = []

    def loop() -> str:
        for step in range(1, 11):
            report({"step": step, "loss": 1 / step}, checkpoint=saver(step, taken))
        return "model"

    returned = run_segment(info_of(), loop)
    assert taken == [10]
    assert train.reports == [({"step": 10, "loss": 0.1}, "10")]
    assert (returned["outcome"], returned["value"]) == ("completed", "model")
    beat = returned["beat"]
    assert (beat.step, beat.checkpoint_step, beat.first_step) == (10, 10, 0)
    assert (beat.workload_id, beat.segment_index, beat.epoch) == ("run", 3, 1)
    assert beat.first_at <= beat.step_at
    assert not any(folder.exists() for folder in train.folders)


def test_checkpoints_are_taken_at_intervals(train: FakeTrain) -> None:
    taken: list[int] = []

    def loop() -> None:
        for step in range(1, 6):
            report({"step": step}, checkpoint=saver(step, taken))

    run_segment(info_of(checkpoint_every_s=0.0), loop)
    assert taken == [1, 2, 3, 4, 5], "the last one is not taken again at the end"


def test_a_segment_ends_at_the_next_step_after_the_controller_says_so(train: FakeTrain) -> None:
    left: list[str] = []

    def loop() -> None:
        try:
            for step in range(51, 1000):
                report({"step": step}, checkpoint=saver(step))
                if step == 60:
                    train.answer = SUSPEND
                    train.wait_for_beats()
        except Exception:  # a training function that swallows errors does not swallow the end
            left.append("except")
        finally:
            left.append("finally")

    returned = run_segment(info_of(), loop)
    assert (returned["outcome"], returned["value"]) == ("suspended", None)
    assert left == ["finally"]
    assert train.reports == [({"step": 61}, "61")]
    beat = returned["beat"]
    assert (beat.first_step, beat.step, beat.checkpoint_step) == (50, 61, 61)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (SUSPEND, "suspended"),
        (Directive(workload_id="run", epoch=2, target=Placement(region="west", workers=2), reason="move"), "suspended"),
        (Directive(workload_id="run", epoch=2, target=Placement(region="east", workers=4), reason="more"), "suspended"),
        (Directive(workload_id="run", epoch=2, target=HERE, reason="still here"), "completed"),
        (Directive(workload_id="run", epoch=1, target=None, reason="not newer"), "completed"),
        (ValueError("no such actor"), "completed"),
        (ray.exceptions.GetTimeoutError("late"), "completed"),
    ],
)
def test_what_the_controller_answers(train: FakeTrain, answer: Directive | Exception, outcome: str) -> None:
    def loop() -> None:
        for step in range(1, 6):
            report({"step": step}, checkpoint=saver(step))
            if step == 2:
                train.answer = answer
                train.wait_for_beats()

    assert run_segment(info_of(), loop)["outcome"] == outcome


def test_a_controller_that_was_away_is_obeyed_when_it_is_back(train: FakeTrain) -> None:
    train.answer = RuntimeError("away")

    def loop() -> None:
        for step in range(1, 10):
            report({"step": step}, checkpoint=saver(step))
            if step == 3:
                train.wait_for_beats()
            if step == 5:
                train.answer = SUSPEND
                train.wait_for_beats()

    returned = run_segment(info_of(), loop)
    assert (returned["outcome"], returned["beat"].step) == ("suspended", 6)


# Checkpoints that the training code takes itself


def test_reports_with_checkpoints_go_to_ray_as_they_are(train: FakeTrain, tmp_path: Path) -> None:
    def loop() -> None:
        for step in range(1, 4):
            report({"step": step}, checkpoint=eager(tmp_path, step), checkpoint_dir_name=f"at-{step}")
            session = current()
            assert session is not None
            # Only when the next report is taken has Ray's controller got the one before.
            assert session._beat.checkpoint_step == step - 1
            assert session.final_beat.checkpoint_step == step

    returned = run_segment(info_of(), loop)
    assert [content for _, content in train.reports] == ["1", "2", "3"]
    assert train.reports[0][0] == {"step": 1, "checkpoint_dir_name": "at-1"}
    assert returned["beat"].checkpoint_step == 3
    assert all(folder.exists() for folder in train.folders), "they are the user's"


def test_a_segment_waits_for_a_report_with_a_checkpoint(train: FakeTrain, tmp_path: Path) -> None:
    train.answer = SUSPEND

    def loop() -> None:
        for step in range(1, 100):
            if step == 2:
                train.wait_for_beats()
            report({"step": step}, checkpoint=eager(tmp_path, step) if step % 5 == 0 else None)

    returned = run_segment(info_of(), loop)
    assert returned["outcome"] == "suspended"
    assert [metrics["step"] for metrics, _ in train.reports] == [1, 2, 3, 4, 5]
    assert returned["beat"].checkpoint_step == 5


def test_steps_are_counted_where_the_metrics_do_not_say(train: FakeTrain) -> None:
    def loop() -> None:
        for _ in range(4):
            report({"loss": 1.0})

    beat = run_segment(info_of(), loop)["beat"]
    assert (beat.first_step, beat.step, beat.checkpoint_step) == (0, 4, 0)


def test_another_metric_may_count_the_steps(train: FakeTrain) -> None:
    beat = run_segment(info_of(step_key="iteration"), lambda: report({"iteration": 31, "step": 4}))["beat"]
    assert (beat.first_step, beat.step) == (30, 31)


# Several ranks


def test_all_ranks_save_and_end_at_the_same_steps(train: FakeTrain) -> None:
    train.world_size = 2

    def loop() -> None:
        for step in range(1, 400):
            report({"step": step}, checkpoint=saver(step))
            if step == 20 and train.rank == 0:
                train.answer = SUSPEND
                train.wait_for_beats()

    info = info_of(agree_every_s=0.0005)
    first = run_segment(info, loop)
    train.wait_until_quiet()
    of_first, train.reports = train.reports, []
    beats = len(train.beats)
    train.rank = 1
    second = run_segment(info, loop)
    assert train.orders == [], "asked equally often"
    assert first["outcome"] == second["outcome"] == "suspended"
    assert of_first == train.reports
    assert first["beat"].step == second["beat"].step > 20
    assert len(train.beats) == beats, "rank 0 alone talks to the controller"


# Outside, and failures


def test_outside_of_a_segment_report_is_rays(train: FakeTrain, tmp_path: Path) -> None:
    assert current() is None
    report({"step": 1})
    report({"step": 2}, checkpoint=eager(tmp_path, 2))
    report({"step": 3}, checkpoint=saver(3))
    assert train.reports == [({"step": 1}, None), ({"step": 2}, "2"), ({"step": 3}, "3")]
    assert [folder.exists() for folder in train.folders] == [True, False]


def test_an_error_of_the_training_code_is_its_own(train: FakeTrain) -> None:
    def loop() -> None:
        report({"step": 1}, checkpoint=saver(1))
        raise ZeroDivisionError("in the loop")

    with pytest.raises(ZeroDivisionError, match="in the loop"):
        run_segment(info_of(), loop)
    assert current() is None
    assert train.reports == []


def test_a_checkpoint_that_cannot_be_written_leaves_no_folder_behind(train: FakeTrain) -> None:
    seen: list[Path] = []

    def broken(folder: str) -> None:
        seen.append(Path(folder))
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_segment(info_of(checkpoint_every_s=0.0), lambda: report({"step": 1}, checkpoint=broken))
    assert [folder.exists() for folder in seen] == [False]


def test_the_end_of_a_segment_is_no_exception() -> None:
    assert issubclass(SegmentEnd, BaseException)
    assert not issubclass(SegmentEnd, Exception)


def test_instants_are_the_clusters(train: FakeTrain) -> None:
    beat = run_segment(info_of(), lambda: report({"step": 1}))["beat"]
    assert beat.step_at is not None
    assert beat.step_at - datetime(2022, 5, 2, tzinfo=UTC) > timedelta(days=365), "sixty times as fast since 2022"
