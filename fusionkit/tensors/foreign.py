"""Says what a file that is no safetensors file is instead."""

from __future__ import annotations

from pathlib import Path

__all__ = ["LONGEST_MAGIC", "describe_foreign"]

CONVERT = "`fusionkit checkpoint convert` makes a safetensors file of it"
KINDS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer; run 'git lfs pull' to get the file itself"),
    (b"PK\x03\x04", f"a zip archive, such as torch.save writes; {CONVERT}"),
    (b"\x80\x02", f"a pickle, such as torch.save wrote; {CONVERT}"),
    (b"\x80\x03", f"a pickle; {CONVERT}"),
    (b"\x80\x04", f"a pickle; {CONVERT}"),
    (b"\x80\x05", f"a pickle; {CONVERT}"),
    (b"\x89HDF", "an HDF5 file; convert it to safetensors first"),
    (b"GGUF", "a GGUF file; convert it to safetensors first"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"<!doctype", "a web page; the download went wrong, so fetch it again"),
    (b"<html", "a web page; the download went wrong, so fetch it again"),
    (b"<?xml", "an XML page; the download went wrong, so fetch it again"),
    (b'{"', "JSON; give the .safetensors file itself"),
    (b"{\n", "JSON; give the .safetensors file itself"),
)
LONGEST_MAGIC = 64


def describe_foreign(path: Path, start: bytes, size: int) -> str:
    """Gives the message for a file whose first bytes are no safetensors header.

    Args:
        path: the file.
        start: its first bytes, ``LONGEST_MAGIC`` of them where it has so many.
        size: in bytes.
    """
    said = f"{path} is not a safetensors file"
    text = start.lstrip().lower()
    for magic, kind in KINDS:
        if start.startswith(magic) or text.startswith(magic):
            return f"{said}: it is {kind}"
    if size == 0:
        return f"{said}: it is empty; fetch or save it again"
    if size < 8:
        return f"{said}: it has only {size} bytes; it was cut short, so fetch or save it again"
    return (
        f"{said}, or was cut short: its first 8 bytes promise a header of "
        f"{int.from_bytes(start[:8], 'little'):,} bytes, but it has {size:,} bytes in all; "
        "fetch or save it again"
    )
