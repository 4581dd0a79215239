"""Fills the memory of tensors from a file, on several threads, and looks at what comes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from io import FileIO

import torch
from torch import Tensor

from fusionkit.tensors.finite import has_finite_sum

__all__ = ["Space", "fill"]

CHUNK = 31 << 10
"""Values that are read and looked at while the processor's cache has them: few enough for torch
to sum on the thread that asks, since its own threads take longer to wake than to sum."""
TASK = 1 << 23
"""Bytes that one thread takes at a time."""
MOST_THREADS = 8
READS_ANYWHERE = hasattr(os, "preadv")
"""Windows has no preadv: there a file has one place where it is read, and so one reader."""
SUMMED = frozenset((torch.float32, torch.float64, torch.float16, torch.bfloat16))
"""Types whose values have a sum that costs little."""


@dataclass(frozen=True)
class Space:
    """The memory of one tensor, contiguous, and where in the file its bytes begin."""

    value: Tensor
    place: int | None
    """None where the bytes are in memory already."""


@dataclass(frozen=True)
class _Part:
    """What one thread takes of one tensor."""

    space: int
    values: Tensor
    place: int | None

    @cached_property
    def memory(self) -> memoryview:
        memory: memoryview = self.values.view(torch.uint8).numpy().data
        return memory


def fill(
    spaces: Sequence[Space],
    file: FileIO,
    *,
    on_bytes: Callable[[memoryview], object] | None = None,
    looks: bool = False,
) -> list[bool]:
    """Reads the bytes of all tensors, on as many threads as torch computes with.

    Args:
        spaces: in the order of their bytes in the file.
        file: open for reading, without a buffer.
        on_bytes: takes all bytes of all tensors, in order, on this thread.
        looks: whether to look for values that are not finite.

    Returns:
        For each tensor, whether it was looked at and all its values are finite.

    Raises:
        EOFError: the file ends too soon.
        OSError: it cannot be read.
    """
    finite = [
        looks and space.value.dtype in SUMMED and bool(space.value.numel()) for space in spaces
    ]
    tasks = list(_tasks(spaces))
    work = partial(_work, file, finite)
    count = min(torch.get_num_threads(), MOST_THREADS, len(tasks))
    if count < 2 or not READS_ANYWHERE or all(space.place is None for space in spaces):
        _take(tasks, map(work, tasks), on_bytes)
        return finite
    threads = ThreadPoolExecutor(count, "fusionkit-read")
    try:
        try:
            done = threads.map(work, tasks)
        except RuntimeError:  # no thread can be started any more, as while the interpreter ends
            done = map(work, tasks)
        _take(tasks, done, on_bytes)
    finally:  # after an error, or when it is interrupted, what waits is not read
        threads.shutdown(cancel_futures=True)
    return finite


def _tasks(spaces: Sequence[Space]) -> Iterator[list[_Part]]:
    """Divides what there is to read."""
    task: list[_Part] = []
    left = TASK
    for index, space in enumerate(spaces):
        flat, width = space.value.view(-1), space.value.element_size()
        first = 0
        while first < len(flat):
            values = flat[first : first + max(left // width, CHUNK)]
            place = None if space.place is None else space.place + first * width
            task.append(_Part(index, values, place))
            first += len(values)
            left -= len(values) * width
            if left <= 0:
                yield task
                task, left = [], TASK
    if task:
        yield task


def _work(file: FileIO, finite: list[bool], task: list[_Part]) -> None:
    for part in task:
        width = part.values.element_size()
        for first in range(0, len(part.values), CHUNK):
            if part.place is not None:
                start = first * width
                _read(file, part.memory[start : start + CHUNK * width], part.place + start)
            if finite[part.space] and not has_finite_sum(part.values[first : first + CHUNK]):
                finite[part.space] = False


def _take(
    tasks: list[list[_Part]],
    done: Iterator[None],
    on_bytes: Callable[[memoryview], object] | None,
) -> None:
    """Waits for each task in turn."""
    for task, _ in zip(tasks, done, strict=True):
        if on_bytes is not None:
            for part in task:
                on_bytes(part.memory)


def _read(file: FileIO, memory: memoryview, place: int) -> None:
    """Fills memory from one place of a file."""
    while memory:
        if READS_ANYWHERE:
            count = os.preadv(file.fileno(), [memory], place)
        else:
            file.seek(place)
            count = file.readinto(memory)
        if not count:
            raise EOFError(f"the file ends at byte {place}")
        memory, place = memory[count:], place + count
