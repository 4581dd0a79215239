"""A file of another kind is told by its name, with what to do."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

import fusionkit as fk
from fusionkit.tensors.read import read_tensors


def zipped() -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.ones(3)}, stream)
    assert zipfile.is_zipfile(stream)
    return stream.getvalue()


CASES = {
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer; run 'git lfs pull'",
    ),
    "html": (b"<!DOCTYPE html><html>404</html>", "a web page; the download went wrong"),
    "lower": (b"\n  <!doctype html><html>404</html>", "a web page"),
    "bare": (b"<HTML><body>Sign in</body></HTML>", "a web page"),
    "xml": (b'<?xml version="1.0"?><Error>NoSuchKey</Error>', "an XML page"),
    "zip": (
        zipped(),
        "a zip archive, such as torch.save writes; `fusionkit checkpoint convert` makes",
    ),
    "pickle2": (pickle.dumps({"a": 1}, protocol=2), "a pickle, such as torch.save wrote"),
    "pickle4": (pickle.dumps({"a": list(range(99))}, protocol=4), "a pickle"),
    "pickle5": (pickle.dumps({"a": list(range(99))}, protocol=5), "a pickle"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "gguf": (b"GGUF\x03\0\0\0" + bytes(99), "a GGUF file"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\x01" * 99, "a gzip archive"),
    "index": (b'{\n  "metadata": {}, "weight_map": {}}', "JSON; give the .safetensors file"),
    "empty": (b"", "it is empty"),
    "short": (b"abc", "it has only 3 bytes; it was cut short"),
    "cut": (b"\x10\0\0\0\0\0\0\0{}", "promise a header of 16 bytes, but it has 10 bytes in all"),
    "noise": (b"\xfe" * 99, "promise a header of"),
}


@pytest.mark.parametrize("kind", CASES)
def test_f033_a_foreign_file_is_told_by_name(tmp_path: Path, kind: str) -> None:
    content, cause = CASES[kind]
    path = tmp_path / f"{kind}.safetensors"
    path.write_bytes(content)
    with pytest.raises(fk.CheckpointError) as caught:
        read_tensors(path)
    assert cause in str(caught.value)
    assert str(path) in str(caught.value)
    assert "not a safetensors file" in str(caught.value)
