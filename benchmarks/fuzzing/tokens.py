"""Numbers, texts and words that readers of files have stumbled over."""

from __future__ import annotations

__all__ = ["NUMBERS", "PATHS", "TEXTS", "WORDS", "ZOO"]

NUMBERS = (
    "0", "-1", "1", "2", "7", "255", "65536", "200001", "10000000", "2147483648", "4294967296",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551616",
    "1e3", "1.5", "-0.0", "1e308", "1e999", "-1e999", "NaN", "Infinity", "1e-400", "9" * 400,
    "9" * 5000, "0x10", "010", "1_000", "+1", ".5", "5.",
)  # fmt: skip

PATHS = (
    "../outside.safetensors", "/etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/mem", "..", ".",
    "a/../../outside.safetensors", "C:\\x.safetensors", "\\\\host\\x.safetensors", "~/x",
    "file:///etc/passwd", "http://127.0.0.1/x.safetensors", "model.safetensors/../../outside",
    "x.safetensors\0.txt", "linked.safetensors", "pipe.safetensors", "folder.safetensors",
    "hf-hub:owner/name", "hf-hub:../..", "x.pt", "x.bin", "CON.safetensors", "a" * 300,
)  # fmt: skip

TEXTS = (
    "", " ", "\0", "\n", "\x7f", "\u202e", "\u200b", "\ufeff", "\u2028", "\ud800", "\U0001f600",
    "é", "e\u0301", "\uff41", "İ", "__metadata__", "__class__", "__proto__", "format", "self",
    "head", "null", "None", "true", "NO", "1e3", "12:30", "<<",
    "!!python/object/apply:os.system",
    "{}", "%s%n", "default", "x" * 5000, "*", "[", "a.b.c", "F8_E4M3", "C64", "BOOL", "F4", "BF16",
)  # fmt: skip

WORDS = (
    "{", "}", "[", "]", '"', ":", ",", "\\", "\\u0000", "\\ud800", "null", "true", "NaN", "---\n",
    "...\n", "&a ", "*a", "*a\n", "<<: *a", "!!python/object/apply:os.system [echo]", "!!int ",
    "!x ", "%YAML 1.1\n", "%TAG ! x\n", "? ", "- ", "- - - - ", "|\n", ">-\n", "\t", "  ", "\r",
    "\r\n", "#", "'", "@", "`", "\x85", "\u2028", "\ufeff", "0o17", ".inf", ".nan", "~", "=",
    "2001-12-14", "\\x", "\\U0001F600", "\x00", "\x1b", "\xff",
)  # fmt: skip

ZOO = ("tiny/net", "timm/test_resnet", "timm/nothing", "torchvision/resnet18", "x/y/z", "tiny")
