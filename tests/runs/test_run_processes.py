"""Two processes train one run: they agree, and only the first one writes."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from forked import at_batch, needs_fork, run_forked, signal_self
from run_toys import CATALOG, job_of, put_pictures, truncate
from torch.testing import assert_close

import fusionkit as fk
from fusionkit.errors import DataError, DistributedError
from fusionkit.runs.fit import fit
from fusionkit.runs.processes import first_alone, is_first, name_lost_processes
from fusionkit.runs.settings import TrainingSettings
from fusionkit.training.resume.run_states import RunStates

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")

THAWS = fk.Freeze.gradual(start=1, every=1)
"""Of the toy's top only within two epochs, which has no norm that sees one process's batch."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return put_pictures(tmp_path_factory.mktemp("pictures"), train=6, val=3)


@pytest.fixture(scope="module")
def alone(pictures, tmp_path_factory):
    """Gives what one process comes to, with a batch as large as both of two have together."""
    job = job_of(pictures, freeze=THAWS, batch_size=4, data={"augment": True})
    return fit(job, tmp_path_factory.mktemp("alone") / "out", catalog=CATALOG)


def half(pictures, **settings):
    """Gives the same job for two processes with half the batch each."""
    settings = {"freeze": THAWS, "data": {"augment": True}, **settings}
    return job_of(pictures, batch_size=2, devices=2, strategy="ddp", **settings)


def become(rank, port):
    """Makes this process one of two, as Lightning's launcher would."""
    where = {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    os.environ.update(where, MASTER_PORT=str(port))
    torch.set_num_threads(1)


def fit_one(rank, port, job, folder, resume=False, before=None):  # noqa: PLR0917
    become(rank, port)
    if before is not None:
        before(rank)
    fitted = fit(job, folder, resume=resume, catalog=CATALOG)
    weights = {name: value.clone() for name, value in fitted.model.state_dict().items()}
    return fitted.score, fitted.epoch, weights


def fit_both(*arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return run_forked([partial(fit_one, rank, port, *arguments) for rank in range(2)])


def lines_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@needs_fork
def test_two_processes_come_to_what_one_does_with_twice_the_batch(pictures, alone, tmp_path):
    (first, other) = fit_both(half(pictures), tmp_path / "out")
    assert first[:2] == other[:2]
    for name, value in alone.model.state_dict().items():
        assert torch.equal(first[2][name], other[2][name]), name
        assert_close(first[2][name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert first[1] == alone.epoch
    assert_close(first[0].loss, alone.score.loss, rtol=1e-4, atol=1e-5)
    ours, theirs = lines_of(tmp_path / "out"), lines_of(alone.folder)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs] == ["3", "6"]
    for name in ("train_loss", "val_loss", "val_accuracy"):
        for one, another in zip(ours, theirs, strict=True):
            assert float(one[name]) == pytest.approx(float(another[name]), rel=1e-3)


@needs_fork
def test_when_one_is_told_to_end_both_save_and_go_on_later(pictures, tmp_path):
    job = half(pictures)
    whole = fit_both(job, tmp_path / "whole")[0]

    def told(rank):
        if rank == 1:
            at_batch(4, partial(signal_self, signal.SIGTERM))

    ends = fit_both(job, tmp_path / "out", False, told)
    assert ends == [128 + signal.SIGTERM] * 2
    assert RunStates(tmp_path / "out" / "states").steps() == (3, 5)
    first, other = fit_both(job, tmp_path / "out", True)
    assert first[:2] == other[:2] == whole[:2]
    for name, value in whole[2].items():
        assert torch.equal(value, first[2][name]), name
    columns = ("step", "train_loss", "train_accuracy", "val_loss")
    ours, theirs = (
        [[line[name] for name in columns] for line in lines_of(tmp_path / each)]
        for each in ("out", "whole")
    )
    assert ours == theirs
    again = fit_both(job, tmp_path / "out", True)  # which has ended
    assert again[0][0] == again[1][0] == whole[0]


@needs_fork
def test_one_that_fails_is_named_and_the_other_does_not_wait(tmp_path):
    pictures = put_pictures(tmp_path / "pictures")
    truncate(pictures / "train" / "dark" / "0.png")
    ends = fit_both(half(pictures), tmp_path / "out")
    assert {type(each) for each in ends} == {DataError, DistributedError}
    said = next(str(each) for each in ends if isinstance(each, DistributedError))
    assert "has lost another one, which has failed or was killed; its message says why" in said


ENVIRONMENTS = [
    ({}, True),
    ({"LOCAL_RANK": "1"}, False),
    ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
    ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
    ({"RANK": "3", "LOCAL_RANK": "0"}, False),
    ({"RANK": "0", "LOCAL_RANK": "0"}, True),
    ({"SLURM_PROCID": "2"}, False),
]


@pytest.mark.parametrize(("environment", "first"), ENVIRONMENTS)
def test_the_environment_says_which_process_writes(environment, first):
    assert is_first(TrainingSettings(devices=2, nodes=2), environment) is first
    assert is_first(TrainingSettings(), environment)


def test_alone_a_process_does_what_the_first_does_and_errors_stay():
    done = []
    first_alone(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(RuntimeError, match="connection closed"), name_lost_processes():
        raise RuntimeError("connection closed by peer")


SCRIPT = """
import sys
sys.path.insert(0, {toys!r})
from run_toys import CATALOG, job_of
from fusionkit.runs.fit import fit
if __name__ == "__main__":
    job = job_of({pictures!r}, epochs=1, batch_size=2, devices=2, strategy="ddp")
    print(fit(job, {out!r}, catalog=CATALOG).score.samples)
"""


@pytest.mark.slow
def test_lightning_starts_the_second_process_with_the_same_command(pictures, tmp_path):
    where = {"toys": str(Path(__file__).parents[1]), "pictures": str(pictures)}
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(**where, out=str(tmp_path / "out")))
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["6", "6"]
    assert SimpleNamespace(**lines_of(tmp_path / "out")[0]).step == "3"
    assert replace(job_of(pictures)).training.devices == 1
