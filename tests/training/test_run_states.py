import errno
import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch import distributed

from fusionkit.checkpoint import space
from fusionkit.errors import CheckpointError, ConfigError, ResumeError
from fusionkit.training import RunStates, read_state
from fusionkit.training.resume import lock


def state(step):
    return {"step": step, "a": torch.full((100,), float(step))}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    with RunStates(folder) as states:
        for step in (9, 10, 11):
            states.write(step, state(step))
    return folder


def test_so_many_are_kept_and_old_ones_go_after_the_new_one_is_in_place(tmp_path, monkeypatch):
    there = []
    remove = shutil.rmtree

    def watched(path, **options):
        if os.path.basename(path).startswith("step-"):
            there.append(RunStates(tmp_path / "run").steps())
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    with RunStates(tmp_path / "run", keep=2) as states:
        for step in (9, 10, 11, 99_999_999, 100_000_000):
            assert states.write(step, state(step)).name == f"step-{step:08d}"
    assert there == [(9, 10, 11), (10, 11, 99_999_999), (11, 99_999_999, 100_000_000)]
    assert states.steps() == (99_999_999, 100_000_000)


def test_f055_the_newest_is_found_by_its_number(run):
    path, found = RunStates(run).newest()
    assert (path.name, found["step"]) == ("step-00000011", 11)
    with RunStates(run) as states:
        states.newest()
        states.write(100_000_000, state(100_000_000))
    assert RunStates(run).newest()[1]["step"] == 100_000_000


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "empty"])
def test_f055_a_damaged_newest_is_passed_over_with_a_warning(run, damage):
    newest = run / "step-00000011"
    path = newest / "tensors.safetensors"
    raw = bytearray(path.read_bytes())
    if damage == "flipped":
        raw[-7] ^= 4
        path.write_bytes(raw)
    elif damage == "cut":
        path.write_bytes(raw[:-7])
    elif damage == "missing":
        path.unlink()
    else:
        shutil.rmtree(newest)
        newest.mkdir()
    with RunStates(run) as states:
        with pytest.warns(UserWarning, match=r"step-00000011.*; going on from step 10 instead"):
            assert states.newest()[1]["step"] == 10
        states.write(12, state(12))
        assert states.steps() == (10, 12)  # of which both are whole
    assert (run / "damaged-step-00000011").is_dir()


def test_a_damaged_one_is_not_in_the_way_of_the_same_step(run):
    (run / "step-00000011" / "state.json").unlink()
    for _ in range(2):
        with RunStates(run) as states:
            with pytest.warns(UserWarning, match="going on from step 10"):
                states.newest()
            states.write(11, state(11))
            assert RunStates(run).newest()[1]["step"] == 11
        (run / "step-00000011" / "state.json").unlink()


def test_a_run_of_which_no_state_is_whole_is_not_begun_anew(run):
    for path in run.glob("step-*/state.json"):
        path.write_text("{}")
    with pytest.raises(ResumeError, match=r"none of the 2 states in .*run is whole: cannot go on"):
        RunStates(run).newest()


def test_a_new_run_has_no_state(tmp_path):
    with RunStates(tmp_path / "a" / "b") as states:
        assert states.newest() is None
        assert states.steps() == ()
    assert RunStates(tmp_path / "nothing").newest() is None


def test_an_earlier_run_is_not_overwritten_unasked(run):
    with RunStates(run) as states:
        with pytest.raises(ResumeError, match=r"holds step-00000011 of an earlier run; go on from"):
            states.write(1, state(1))
        assert states.steps() == (10, 11)


def test_steps_do_not_go_back(run):
    with RunStates(run) as states:
        states.newest()
        states.write(11, state(11))
        with pytest.raises(ConfigError, match="a state of step 10 comes after one of step 11"):
            states.write(10, state(10))


def test_other_files_are_left_alone(run):
    (run / "log.txt").write_text("loss")
    (run / "step-12").mkdir()
    (run / "step-00000013").write_text("a file")
    with RunStates(run, keep=1) as states:
        assert states.newest()[1]["step"] == 11
        states.write(12, state(12))
    names = {"log.txt", "step-12", "step-00000013", "step-00000012", ".lock"}
    assert set(os.listdir(run)) == names


def test_f050_what_killed_saves_left_is_removed_at_the_start(run):
    for name in ("new", "old"):
        left = run / f".step-00000010.{name}-0123456789ab"
        left.mkdir()
        (left / "tensors.safetensors").write_bytes(b"half")
    (run / "step-00000010").rename(run / ".step-00000007.old-0123456789ab")
    with RunStates(run):
        pass
    # what a killed exchange had set aside, with nothing in its place, is put back
    assert sorted(os.listdir(run)) == [".lock", "step-00000007", "step-00000010", "step-00000011"]


def test_f048_a_full_disk_keeps_what_was_there_and_says_where_to_go_on(run, monkeypatch):
    full = type("Usage", (), {"free": 10})
    with RunStates(run) as states:
        states.newest()
        monkeypatch.setattr(space.shutil, "disk_usage", lambda _: full)
        with pytest.raises(
            CheckpointError, match=r"the disk is full; .*; the run can go on from step-00000011$"
        ):
            states.write(12, state(12))
    assert RunStates(run).newest()[1]["step"] == 11


@pytest.mark.parametrize("kind", ["a file", "below a file", "a broken link", "read-only"])
def test_f054_a_folder_that_cannot_be_written_is_found_at_the_start(tmp_path, kind, monkeypatch):
    folder = tmp_path / "run"
    if kind == "a file":
        folder.write_text("")
    elif kind == "below a file":
        folder.write_text("")
        folder = folder / "run"
    elif kind == "a broken link":
        folder.symlink_to(tmp_path / "nowhere" / "else")
    else:
        folder.mkdir()

        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CheckpointError, match="cannot write to the run's folder"):
        RunStates(folder).__enter__()


def test_a_link_to_another_disk_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with RunStates(tmp_path / "run") as states:
        states.write(1, state(1))
    assert read_state(tmp_path / "disk" / "step-00000001")["step"] == 1


HOLD = """
import sys, time, os
from fusionkit.training import RunStates
with RunStates(sys.argv[1]):
    print(os.getpid(), flush=True)
    if not os.fork():  # a worker that outlives it
        time.sleep(20)
        os._exit(0)
    time.sleep(60)
"""


def test_a_folder_in_use_is_refused_until_its_process_dies(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        pid = process.stdout.readline().strip()
        with pytest.raises(ResumeError, match=rf"is in use by process {pid} on .*; wait for it"):
            RunStates(tmp_path).__enter__()
        process.kill()
        process.wait()
        with RunStates(tmp_path) as states:
            states.write(1, state(1))
        process.stdout.close()


def test_a_process_is_kept_out_by_itself_as_well(tmp_path):
    with RunStates(tmp_path) as states:
        for _ in range(2):
            with pytest.raises(ResumeError, match=rf"in use by process {os.getpid()} on"):
                RunStates(tmp_path).__enter__()
        states.write(1, state(1))
    with RunStates(tmp_path):
        pass


def test_a_disk_without_locks_is_told(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with (
        pytest.warns(UserWarning, match="lies on a disk without locks; see to it"),
        RunStates(tmp_path) as states,
    ):
        states.write(1, state(1))
    assert not lock.HELD


def test_only_rank_0_writes_and_all_read(run, monkeypatch):
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    with RunStates(run) as states:
        assert states.newest()[1]["step"] == 11
        states.write(12, state(12))
    assert states.steps() == (10, 11)
    assert RunStates(run / "new").__enter__().newest() is None
    assert not (run / "new").exists()


def test_a_run_is_written_inside_of_its_block(tmp_path):
    with pytest.raises(ConfigError, match='inside of "with RunStates'):
        RunStates(tmp_path).write(1, state(1))


@pytest.mark.parametrize("keep", [0, -1, 2.0, None])
def test_how_many_are_kept_is_a_number(tmp_path, keep):
    with pytest.raises(ConfigError, match="keep is how many states stay, at least 1"):
        RunStates(tmp_path, keep=keep)


def test_before_processes_have_found_each_other_one_is_told_that_it_is_not_the_first(run):
    with RunStates(run) as first, RunStates(run, writes=False) as other:
        assert other.newest() is not None
        other.write(12, state(12))
        assert first.steps() == (10, 11)
