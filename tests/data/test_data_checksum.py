"""Damage that decodes all the same is found by checksums."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from data_pictures import noise

import fusionkit as fk
from fusionkit.data import Encoded, Sample, check_checksums, checksums, decode
from fusionkit.data.sample import ListedSamples


def test_f088_a_jpeg_with_wrong_bytes_that_decodes_is_found(tmp_path: Path):
    path = tmp_path / "a.jpg"
    noise(40, 40).save(path)
    samples = ListedSamples([Sample("a", {"image": path})], (), ("image",))
    kept = json.loads(json.dumps(checksums(samples)))
    check_checksums(samples, kept)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    decode(path)  # without an error
    with pytest.raises(
        fk.DataError, match="1 of 1 samples are not what their checksums say: a; re"
    ):
        check_checksums(samples, kept)


def test_every_kind_of_input_has_a_checksum(tmp_path: Path):
    sources = [
        Encoded(b"x", "x"),
        "x",
        noise(),
        noise().convert("L"),
        torch.zeros(3),
        torch.zeros(3).numpy(),
        torch.zeros(3, 1),
        {"ids": torch.ones(2), "mask": torch.ones(2)},
        {"ids": torch.ones(2), "mask": torch.zeros(2)},
    ]
    samples = ListedSamples([Sample(str(n), {"x": s}) for n, s in enumerate(sources)], (), ("x",))
    sums = checksums(samples)
    assert len(sums) == len(sources)
    # Encoded and text of the same bytes, and a tensor and its array, are the same data.
    assert len(set(sums.values())) == len(sources) - 2
    check_checksums(samples, sums)
    with pytest.raises(fk.DataError, match=r"9 of 9 samples .*: 0, 1, 2, \.\.\."):
        check_checksums(samples, {})
    gone = ListedSamples([Sample("a", {"x": tmp_path / "none.png"})], (), ("x",))
    with pytest.raises(fk.DataError, match=r"cannot read .*none.png"):
        checksums(gone)
