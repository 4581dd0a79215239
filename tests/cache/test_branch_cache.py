"""The rows of a branch: added by many, read by all, bounded, and whole after a kill."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings

import pytest
import torch

import fusionkit as fk
from fusionkit.cache import branch as branch_module
from fusionkit.cache.branch import BranchCache, CacheFullError
from fusionkit.cache.chunk import is_chunk
from fusionkit.cache.rows import row_key
from fusionkit.cache.usage import remove_if_idle


def keys(*names: int) -> list[bytes]:
    return [row_key(str(name), "") for name in names]


def rows(*names: int, width: int = 3) -> fk.Features:
    return fk.Features(torch.tensor(names, dtype=torch.float32)[:, None].expand(-1, width))


def opened(folder, *, dtype=None, make_room=lambda *_: None) -> BranchCache:
    return BranchCache("a", folder, dtype=dtype, make_room=make_room)


def files(folder):
    return sorted(path for path in folder.iterdir() if is_chunk(path))


def taken(cache: BranchCache, *names: int) -> list[float]:
    table = cache.table(keys(*names), 10**9)
    return table.take(torch.arange(len(names))).vector[:, 0].tolist()


def test_rows_are_kept_from_one_opening_to_the_next(tmp_path):
    cache = opened(tmp_path / "x")
    assert cache.missing(keys(1, 2)) == [0, 1]
    cache.put(keys(1, 2), rows(1, 2))
    cache.put(keys(3), rows(3))
    assert len(cache) == 0
    cache.flush()
    cache.flush()
    assert len(cache) == 3
    cache.close()
    again = opened(tmp_path / "x")
    assert again.missing(keys(0, 3, 4, 1)) == [0, 2]
    assert taken(again, 3, 1, 2) == [3, 1, 2]
    assert len(files(tmp_path / "x")) == 1


def test_p9_f091_rows_stay_with_their_samples_when_a_file_is_inserted(tmp_path):
    cache = opened(tmp_path / "x")
    cache.put(keys(10, 30), rows(10, 30))
    cache.put(keys(20), rows(20))
    cache.flush()
    assert taken(cache, 10, 20, 30) == [10, 20, 30]


def test_rows_are_written_when_there_are_many_or_it_is_long_ago(tmp_path, monkeypatch):
    cache = opened(tmp_path / "x")
    monkeypatch.setattr(branch_module, "CHUNK_BYTES", 5 * 12)
    cache.put(keys(1, 2), rows(1, 2))
    cache.put(keys(3, 4), rows(3, 4))
    assert len(cache) == 0
    cache.put(keys(5), rows(5))
    assert len(cache) == 5
    monkeypatch.setattr(branch_module, "CHUNK_SECONDS", 0.0)
    cache.put(keys(6), rows(6))
    assert len(cache) == 6
    assert len(files(tmp_path / "x")) == 2


def test_rows_of_another_shape_have_a_file_of_their_own(tmp_path):
    cache = opened(tmp_path / "x")
    cache.put(keys(1), rows(1))
    cache.put(keys(2), rows(2, width=4))
    cache.flush()
    assert len(files(tmp_path / "x")) == 2
    with pytest.raises(fk.CacheError, match="different shapes"):
        cache.table(keys(1, 2), 10**9)


def test_features_come_back_in_the_type_they_were_computed_in(tmp_path):
    cache = opened(tmp_path / "x", dtype=torch.bfloat16)
    cache.put(keys(1), rows(1))
    cache.flush()
    table = cache.table(keys(1), 10**9)
    assert table.memory == 6
    assert table.take(torch.tensor([0])).vector.dtype == torch.float32


def test_f093_two_that_have_it_open_see_each_others_rows(tmp_path):
    one, other = opened(tmp_path / "x"), opened(tmp_path / "x")
    one.put(keys(1, 2), rows(1, 2))
    one.flush()
    other.put(keys(2, 3), rows(2, 3))
    other.flush()
    assert one.missing(keys(1, 2, 3)) == [2]
    one.refresh()
    other.refresh()
    assert taken(one, 1, 2, 3) == taken(other, 1, 2, 3) == [1, 2, 3]


def test_f093_two_processes_fill_one_folder_at_once(tmp_path):
    script = """
        import sys
        from pathlib import Path
        import torch
        import fusionkit as fk
        from fusionkit.cache import branch
        from fusionkit.cache.rows import row_key
        branch.CHUNK_BYTES = 1
        folder, first = Path(sys.argv[1]), int(sys.argv[2])
        cache = branch.BranchCache("a", folder, dtype=None, make_room=lambda *_: None)
        print("ready", flush=True)
        input()
        for name in range(first, first + 60):
            key = row_key(str(name), "")
            cache.put([key], fk.Features(torch.full((1, 3), float(name))))
    """
    others = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "x"), first],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for first in ("0", "30")
    ]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
    for other in others:
        other.communicate(b"\n", timeout=60)
        assert other.returncode == 0
    assert taken(opened(tmp_path / "x"), *range(90)) == list(range(90))


def test_a_kill_costs_no_more_than_what_was_not_yet_written(tmp_path):
    script = """
        import os, sys
        from pathlib import Path
        import torch
        import fusionkit as fk
        from fusionkit.cache import branch
        from fusionkit.cache.rows import row_key
        branch.CHUNK_BYTES = 1
        cache = branch.BranchCache("a", Path(sys.argv[1]), dtype=None, make_room=lambda *_: None)
        for name in range(10**6):
            cache.put([row_key(str(name), "")], fk.Features(torch.full((1, 3), float(name))))
            print(name, flush=True)
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "x")],
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    for _ in range(40):
        other.stdout.readline()
    other.kill()
    said = [int(line) for line in other.stdout.read().split()]
    other.wait()
    other.stdout.close()
    count = max([39, *said]) + 1
    cache = opened(tmp_path / "x")
    assert taken(cache, *range(count)) == list(range(count))
    assert {path.name for path in (tmp_path / "x").iterdir() if not is_chunk(path)} == {"used"}


def test_f092_a_damaged_file_is_dropped_with_a_warning_and_its_rows_are_missing(tmp_path):
    cache = opened(tmp_path / "x")
    for name in (1, 2):
        cache.put(keys(name), rows(name))
        cache.flush()
    cache.close()
    first, second = files(tmp_path / "x")
    first.write_bytes(first.read_bytes()[:50])
    with pytest.warns(UserWarning, match="branch 'a'.*file is removed and its rows are computed"):
        again = opened(tmp_path / "x")
    assert not first.exists()
    assert len(again.missing(keys(1, 2))) == 1
    second.write_bytes(second.read_bytes()[:-1] + b"x")
    left = [key for key in keys(1, 2) if not again.missing([key])]
    with pytest.raises(branch_module.DamagedChunkError) as caught:
        again.table(left, 10**9)
    with pytest.warns(UserWarning, match="checksum differs"):
        again.drop(caught.value)
    assert again.missing(keys(1, 2)) == [0, 1]
    assert files(tmp_path / "x") == []


def test_clear_removes_what_it_knows_and_nothing_of_others(tmp_path):
    one, other = opened(tmp_path / "x"), opened(tmp_path / "x")
    one.put(keys(1), rows(1))
    one.flush()
    other.put(keys(2), rows(2))
    other.flush()
    one.clear()
    assert len(one) == 0
    assert len(files(tmp_path / "x")) == 1
    one.refresh()
    assert taken(one, 2) == [2]


def test_f096_a_full_disk_keeps_what_was_there(tmp_path):
    script = """
        import resource, signal, sys
        from pathlib import Path
        import torch
        import fusionkit as fk
        from fusionkit.cache.branch import BranchCache, CacheFullError
        from fusionkit.cache.rows import row_key
        cache = BranchCache("a", Path(sys.argv[1]), dtype=None, make_room=lambda *_: None)
        cache.put([bytes(16)], fk.Features(torch.ones(1, 3)))
        cache.flush()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
        cache.put([bytes([1] * 16)], fk.Features(torch.ones(1, 5000)))
        try:
            cache.flush()
        except CacheFullError as error:
            print(error)
        assert cache.table([bytes(16)], 10**9).take(torch.tensor([0])).vector.sum() == 3
        assert cache.missing([bytes([1] * 16)]) == [0]
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "x")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "a file may not be that large here" in done.stdout
    assert len(list((tmp_path / "x").iterdir())) == 2  # one file of rows, and the stamp


def test_it_asks_for_room_before_it_writes(tmp_path):
    asked = []

    def refuse(needed, keep):
        asked.append((needed, keep))
        raise CacheFullError("no room")

    cache = opened(tmp_path / "x", make_room=refuse)
    cache.put(keys(1), rows(1))
    with pytest.raises(CacheFullError, match="no room"):
        cache.flush()
    assert asked == [(12, tmp_path / "x")]
    assert files(tmp_path / "x") == []


def test_an_open_folder_is_held_until_it_is_closed(tmp_path):
    cache = opened(tmp_path / "x")
    assert not remove_if_idle(tmp_path / "x")
    cache.close()
    with warnings.catch_warnings():
        cache.close()
    assert remove_if_idle(tmp_path / "x")
