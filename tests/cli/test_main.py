"""The command line as a person and as a program sees it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

import fusionkit
from fusionkit.cli import main as cli
from fusionkit.errors import CacheError, DistributedError, ResumeError, TrainingError

ERRORS = [
    (fusionkit.ConfigError, 2),
    (fusionkit.OptionError, 2),
    (fusionkit.PolicyError, 2),
    (fusionkit.AssemblyError, 2),
    (fusionkit.PluginError, 3),
    (fusionkit.CheckpointError, 4),
    (fusionkit.DataError, 5),
    (fusionkit.FusionKitError, 2),
    (CacheError, 2),
    (ResumeError, 6),
    (TrainingError, 7),
    (DistributedError, 7),
    (ZeroDivisionError, 1),
]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.run(arguments)
    return caught.value.code


@pytest.fixture
def failing(monkeypatch):
    """Gives a function that makes ``fusionkit fail`` raise an error."""

    def fail_with(error: BaseException) -> None:
        app = typer.Typer()

        @app.callback()
        def main() -> None: ...

        @app.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "app", app)

    return fail_with


@pytest.mark.parametrize(("kind", "code"), ERRORS)
def test_each_kind_of_error_has_its_exit_code_and_no_traceback(failing, capsys, kind, code):
    failing(kind("what [happened] :here:"))
    assert run("fail") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "what [happened] :here:" in err
    assert "Traceback" not in err
    assert err.startswith("bug: " if code == 1 else "error: ")


def test_a_bug_says_how_to_see_more(failing, capsys):
    failing(ZeroDivisionError("by zero"))
    run("fail")
    assert capsys.readouterr().err == (
        "bug: fusionkit did not expect this: ZeroDivisionError: by zero\n"
        "The same command with --debug shows where; please report it.\n"
    )


@pytest.mark.parametrize("arguments", [("--debug", "fail"), ("fail", "--debug")])
@pytest.mark.parametrize(("kind", "code"), [(fusionkit.DataError, 5), (KeyError, 1)])
def test_debug_shows_the_traceback_wherever_it_stands(failing, capsys, arguments, kind, code):
    failing(kind("here"))
    assert run(*arguments) == code
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "raise error" in err


def test_ctrl_c_is_no_bug(failing, capsys):
    failing(KeyboardInterrupt())
    assert run("fail") == 130
    assert "bug" not in capsys.readouterr().err


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"fusionkit {fusionkit.__version__}\n"


def test_help_names_the_commands_and_exit_codes_in_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("--help") == 0
    out = capsys.readouterr().out
    codes = "Exit codes: 0 done, 1 a bug, or a check that failed, 2"
    for word in ("list", "info", "plugins", "check", codes):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_help_of_check_names_what_can_be_checked(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("check", "-h") == 0
    out = capsys.readouterr().out
    for word in ("timm/resnet18", "--kind", "--only", "--option", "--slow", "--limit"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["list", "info", "plugins"])
def test_each_command_has_help_in_80_columns(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(command, "-h") == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_wrong_command_or_option_is_exit_code_2(capsys):
    assert run("lst") == 2
    assert run("list", "--kind", "body") == 2
    assert "backbone" in capsys.readouterr().err


def test_help_imports_no_torch():
    code = (
        "import sys\nfrom fusionkit.cli.main import run\n"
        "try: run(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_console_script_runs():
    done = subprocess.run(
        [sys.executable, "-c", "from fusionkit.cli.main import run; run()", "info", "toyz/x"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"FUSIONKIT_LOAD_PLUGINS": "", "PATH": ""},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no plugin 'toyz' is installed (for 'toyz/x').")
    assert done.stderr.count("\n") == 1


def test_the_package_itself_runs():
    done = subprocess.run(
        [sys.executable, "-m", "fusionkit", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"fusionkit {fusionkit.__version__}\n")
