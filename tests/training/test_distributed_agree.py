"""Metrics are the same bits on all processes, and what must be alike is refused where it is not."""

from __future__ import annotations

import math

import pytest
import torch
from rank_runs import message_of, run_ranks

from fusionkit.errors import DistributedError
from fusionkit.training.distributed import agree, same_everywhere


def decide(rank):
    told = {
        "mean": agree({"loss": torch.tensor(0.1 + rank), "hits": rank}),
        "weighted": agree({"loss": 1.0 + rank}, weight=3 - 2 * rank),
        "alone": agree({"loss": math.nan if rank else 2.0}, weight=1 - rank),
        "nan": agree({"loss": math.nan if rank else 2.0}),
        "same": same_everywhere(("slow",), "what thaws"),
    }
    metrics = {"loss": 1.0, "more": 2.0} if rank else {"loss": 1.0}
    told["names"] = message_of(DistributedError, agree, metrics)
    told["kind"] = message_of(DistributedError, agree, {"loss": "low" if rank else 1.0})
    told["weight"] = message_of(DistributedError, agree, {"loss": 1.0}, weight=-rank)
    told["nothing"] = message_of(DistributedError, agree, {"loss": 1.0}, weight=0)
    told["batches"] = message_of(
        DistributedError, same_everywhere, 10 + rank, "the number of batches"
    )
    return told


def test_processes_agree_or_are_told_who_does_not(tmp_path):
    first, second = run_ranks(decide, tmp_path)
    assert first["mean"]["loss"] == second["mean"]["loss"] == pytest.approx(0.6)
    assert first["mean"]["hits"] == 0.5
    assert first["weighted"] == second["weighted"] == {"loss": 1.25}
    assert first["alone"] == second["alone"] == {"loss": 2.0}
    assert math.isnan(first["nan"]["loss"])
    assert first["same"] == ("slow",)
    for told in (first, second):
        assert "rank 1 told the metrics ['loss', 'more'], rank 0 ['loss']" in told["names"]
        assert "rank 1 has 'loss' = 'low', which is no number" in told["kind"]
        assert "weight is a number, zero or positive, and was not on rank 1" in told["weight"]
        assert "the weights of all processes are 0" in told["nothing"]
        assert (
            "the number of batches differs between processes: rank 1 has 11, rank 0"
            in (told["batches"])
        )


def test_one_process_agrees_with_itself():
    assert agree({"loss": torch.tensor(0.5)}, weight=7) == {"loss": 0.5}
    assert same_everywhere(3, "the number of batches") == 3
