"""Tensors are filled from a file on several threads as on one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import torch

from fusionkit.tensors import fill as module
from fusionkit.tensors.fill import Space, fill

SIZES = (0, 1, 7, 700, 3000, 5, 64)


@pytest.fixture(params=[1, 4], ids=["one thread", "four threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Gives how many threads torch computes with, for tasks and chunks of a few values."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: request.param)
    monkeypatch.setattr(module, "CHUNK", 100)
    monkeypatch.setattr(module, "TASK", 1000)
    return int(request.param)


def spaces_of(values: list[torch.Tensor]) -> list[Space]:
    places = [0, *torch.tensor([value.nbytes for value in values]).cumsum(0).tolist()]
    return [
        Space(torch.empty_like(value), place)
        for value, place in zip(values, places[:-1], strict=True)
    ]


def some(path: Path, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Gives tensors and writes them one after another."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(size, generator=generator).to(dtype) for size in SIZES]
    path.write_bytes(b"".join(value.view(torch.uint8).numpy().tobytes() for value in values))
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_every_byte_is_read_and_handed_on_in_order(
    tmp_path: Path, threads: int, dtype: torch.dtype
) -> None:
    path = tmp_path / "x"
    values = some(path, dtype)
    spaces = spaces_of(values)
    digest = hashlib.sha256()
    here = set()

    def on_bytes(memory: memoryview) -> None:
        here.add(threading.get_ident())
        digest.update(memory)

    with path.open("rb", buffering=0) as file:
        seen = fill(spaces, file, on_bytes=on_bytes, looks=True)
    assert all(space.value.equal(value) for space, value in zip(spaces, values, strict=True))
    assert digest.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert here == {threading.get_ident()}
    assert seen == [size > 0 for size in SIZES]


def test_it_is_read_on_as_many_threads_as_torch_has(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    spaces = spaces_of(some(path))
    together = threading.Barrier(threads, timeout=60)
    met = threading.local()
    real = module._read

    def read(*arguments: object) -> None:
        if not getattr(met, "met", False):  # the first part of each thread waits for the others
            met.met = True
            together.wait()
        real(*arguments)

    monkeypatch.setattr(module, "_read", read)
    before = threading.active_count()
    with path.open("rb", buffering=0) as file:
        fill(spaces, file)
    assert threading.active_count() == before


@pytest.mark.parametrize("place", [0, 99, 100, 699])
def test_one_value_that_is_not_finite_is_seen_in_every_chunk(
    tmp_path: Path, threads: int, place: int
) -> None:
    path = tmp_path / "x"
    values = some(path)
    values[3][place] = torch.inf
    path.write_bytes(b"".join(value.numpy().tobytes() for value in values))
    spaces = spaces_of(values)
    with path.open("rb", buffering=0) as file:
        assert fill(spaces, file, looks=True) == [False, True, True, False, True, True, True]
        assert not any(fill(spaces, file))


def test_a_file_that_ends_too_soon_is_told(tmp_path: Path, threads: int) -> None:
    path = tmp_path / "x"
    spaces = spaces_of(some(path))
    size = path.stat().st_size
    for length in (0, 1, 4000, size - 257, size - 1):
        os.truncate(path, length)
        with (
            path.open("rb", buffering=0) as file,
            pytest.raises(EOFError, match=f"ends at byte {length}$"),
        ):
            fill(spaces, file)
        some(path)


def test_a_disk_that_fails_is_told_and_nothing_more_is_read(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    spaces = spaces_of(some(path) * 20)
    asked = []

    def fail(*_: object) -> int:
        asked.append(1)
        time.sleep(0.05)  # as a disk that fails takes its time
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with path.open("rb", buffering=0) as file, pytest.raises(OSError, match="Input/output error"):
        fill(spaces, file)
    assert len(asked) <= 3 * threads


def test_when_it_is_interrupted_the_rest_is_not_read(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    spaces = spaces_of(some(path) * 20)
    path.write_bytes(path.read_bytes() * 20)
    real, asked = module._read, []

    def read(*arguments: object) -> None:
        asked.append(1)
        time.sleep(0.01)
        real(*arguments)

    def interrupt(_: memoryview) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_read", read)
    before = threading.active_count()
    with path.open("rb", buffering=0) as file, pytest.raises(KeyboardInterrupt):
        fill(spaces, file, on_bytes=interrupt)
    assert threading.active_count() == before
    assert len(asked) < 100  # of 860 chunks


def test_what_comes_in_pieces_is_put_together(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    values = some(path)
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, parts, place: real(fd, [parts[0][:33]], place))
    spaces = spaces_of(values)
    with path.open("rb", buffering=0) as file:
        fill(spaces, file)
    assert all(space.value.equal(value) for space, value in zip(spaces, values, strict=True))


def test_a_system_that_reads_at_one_place_only_gives_the_same(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    values = some(path)
    monkeypatch.setattr(module, "READS_ANYWHERE", False)
    monkeypatch.delattr(os, "preadv")
    spaces = spaces_of(values)
    with path.open("rb", buffering=0) as file:
        assert fill(spaces, file, looks=True) == [size > 0 for size in SIZES]
    assert all(space.value.equal(value) for space, value in zip(spaces, values, strict=True))


def test_what_is_in_memory_is_looked_at_where_it_is(tmp_path: Path, threads: int) -> None:
    path = tmp_path / "x"
    path.touch()
    parts: list[bytes] = []
    spaces = [Space(torch.ones(300), None), Space(torch.full((300,), torch.nan), None)]
    with path.open("rb", buffering=0) as file:
        found = fill(spaces, file, on_bytes=lambda memory: parts.append(bytes(memory)), looks=True)
    assert found == [True, False]
    assert len(b"".join(parts)) == 2400


def test_where_no_thread_can_be_started_it_is_read_on_this_one(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    values = some(path)
    started: list[threading.Thread] = []
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    spaces = spaces_of(values)
    with path.open("rb", buffering=0) as file:
        assert fill(spaces, file, looks=True) == [size > 0 for size in SIZES]
    assert all(space.value.equal(value) for space, value in zip(spaces, values, strict=True))


def test_it_reads_while_the_interpreter_ends(tmp_path: Path) -> None:
    script = f"""
        import atexit, threading, torch
        from safetensors.torch import save_file
        from fusionkit.tensors.read import read_tensors
        path = {str(tmp_path / "x.safetensors")!r}
        save_file({{"a": torch.ones(6_000_000)}}, path)
        torch.set_num_threads(2)
        def late():
            threading.main_thread().join()
            print(float(read_tensors(path)["a"].sum()))
        threading.Thread(target=late).start()
        atexit.register(lambda: print(float(read_tensors(path)["a"].sum())))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["6000000.0"] * 2, done.stderr
