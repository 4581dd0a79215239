"""A small part of what the benchmarks of that name do for hours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads its own limits from /proc"
)


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.slow
def test_p10_mutated_files_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    done = run("fuzz_checkpoints.py", "--count", 600, "--keep", tmp_path)
    assert "600 cases in" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout
    assert "0 findings" in done.stdout
    for outcome in ("read", "CheckpointError", "ConfigError"):
        assert f"{outcome} " in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_benchmarks")
def test_a_case_is_the_same_each_time(tmp_path: Path) -> None:
    from fuzzing.cases import KINDS, write_case
    from fuzzing.seeds import make_seeds

    seeds = make_seeds(tmp_path / "seeds")
    for kind in sorted(set(KINDS)):
        written = []
        for folder in (tmp_path / "one", tmp_path / "two"):
            write_case(kind, folder, Random(f"0/{kind}"), seeds)
            files = sorted(path for path in folder.iterdir() if path.is_file())
            written.append([(path.name, path.read_bytes()) for path in files])
        assert written[0] == written[1]
        assert written[0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("open('new', 'w').close()", "opened for writing"),
        ("__import__('os').mkdir('new')", "os.mkdir"),
        ("open('/etc/hosts').close()", "read outside of its folder"),
        ("__import__('subprocess').run(['true'])", "subprocess.Popen"),
        ("__import__('socket').socket()", "socket."),
        ("__import__('pickle').loads(b'cposix\\nsystem\\n.')", "pickle.find_class"),
    ],
)
def test_the_guard_sees_what_must_not_be(tmp_path: Path, body: str, said: str) -> None:
    """In a process of its own, since an audit hook stays."""
    (tmp_path / "case" / "input").mkdir(parents=True)
    script = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(BENCHMARKS)!r})
from fuzzing.guard import Guard
import socket, subprocess, pickle
os.chdir({str(tmp_path / "case" / "input")!r})
guard = Guard((Path(sys.prefix), Path(sys.base_prefix)))
with guard.watch(Path(".").absolute()) as seen:
    {body}
print(seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said in done.stdout


@pytest.mark.slow
def test_f047_f048_killed_saves_and_full_disks_leave_the_old_or_the_new() -> None:
    done = run("kill_saves.py", "--kills", 10, "--sizes", 10)
    assert done.returncode == 0, done.stderr
    killed, limited, filled = done.stdout.splitlines()
    assert killed.startswith("killed: 10 kills")
    assert "refused, the old one is there" in limited
    assert "saved, the new one is there" in limited
    assert filled.startswith("disk filled: ")
