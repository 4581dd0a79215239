"""How many samples a tar file holds is what webdataset reads of it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

import fusionkit as fk
from fusionkit.data import ShardedSamples
from fusionkit.runs.shard_counts import count_batches_of, count_samples, count_shard

pytest.importorskip("webdataset", reason="shards are read by webdataset, of the extra 'dev'")


def write(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            info = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
                continue
            info.size = 1
            tar.addfile(info, io.BytesIO(b"0"))
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("1.jpg", "1.cls", "2.jpg", "2.cls"),
        ("a/", "a/1.jpg", "a/1.cls", "b/1.jpg", "b/1.cls"),
        ("__about__", "1.seg.jpg", "1.jpg", "1.cls", "README"),
        ("1.jpg", "README", "1.cls", ".hidden"),
        ("1.jpg", "1.cls", "2.jpg", "2.cls", "1.jpg", "1.cls"),
    ],
)
def test_the_count_is_what_is_read(tmp_path: Path, names: tuple[str, ...]) -> None:
    shard = write(tmp_path / "0.tar", *names)
    rows = list(ShardedSamples(shard, ("a",), label=None).read())
    assert count_shard(str(shard)) == len(rows) > 0


def test_batches_are_counted_by_worker(tmp_path: Path) -> None:
    for shard, count in enumerate((5, 1, 4)):
        names = [f"{shard}-{number}.jpg" for number in range(count)]
        write(tmp_path / f"{shard}.tar", *names)
    samples = ShardedSamples(str(tmp_path / "*.tar"), ("a",))
    assert count_samples(samples) == 10
    found = {
        (rank, world, workers): count_batches_of(
            samples, 4, epoch=0, rank=rank, world=world, workers=workers
        )
        for rank, world, workers in ((0, 1, 1), (0, 1, 2), (0, 1, 3), (0, 3, 1), (1, 3, 1))
    }
    # (5, 4) and (1) are 3 and 1 batches of up to four
    assert list(found.values()) == [3, 4, 4, 2, 1]


def test_a_shard_that_is_damaged_or_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.tar").write_bytes(b"no tar file")
    with pytest.raises(fk.DataError, match=r"cannot read the shard .*1\.tar"):
        count_shard(str(tmp_path / "1.tar"))
    with pytest.raises(fk.DataError, match=r"only after reading it: .* as data\.length; shards to"):
        count_shard("https://example.org/1.tar")


def test_a_shard_is_counted_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, opened, really = write(tmp_path / "0.tar", "1.jpg", "2.jpg"), [], tarfile.open

    def watched(name: str, *rest: str) -> tarfile.TarFile:
        opened.append(name)
        return really(name, *rest)

    monkeypatch.setattr(tarfile, "open", watched)
    assert [count_shard(str(shard)) for _ in range(3)] == [2, 2, 2]
    assert len(opened) == 1
    write(shard, *(f"{number}.jpg" for number in range(40)))
    assert count_shard(str(shard)) == 40
