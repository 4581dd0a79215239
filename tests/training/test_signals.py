import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from fusionkit.errors import ConfigError
from fusionkit.training.signals import stop_signals

LOOP = """
import os, sys, time
from fusionkit.training.signals import stop_signals
with stop_signals() as stop:
    if sys.argv[1] == "forks":
        if not os.fork():
            print(os.getpid(), flush=True)  # a signal that comes before fork() is through is lost
            time.sleep(30)
            os._exit(0)
        print(os.WTERMSIG(os.wait()[1]), flush=True)
        sys.exit(0)
    print("ready", flush=True)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        time.sleep(0.01)
        if stop and sys.argv[1] == "saves":
            print("saved", flush=True)
            stop.leave()
        elif stop and not os.path.exists(sys.argv[2]):
            open(sys.argv[2], "w").close()
"""


@contextmanager
def started(*arguments):
    command = [sys.executable, "-c", LOOP, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_f051_a_signal_ends_the_step_then_the_run_saves_and_leaves_with_its_code(
    name, code, hangups
):
    with started("saves") as (process, said):
        assert said == "ready"
        process.send_signal(getattr(signal, name))
        assert process.stdout.read() == "saved\n"
        assert process.wait() == code


def test_f051_a_second_signal_ends_at_once(tmp_path):
    seen = tmp_path / "seen"
    with started("hangs", seen) as (process, _):
        process.send_signal(signal.SIGTERM)
        while not seen.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


def test_a_forked_worker_dies_of_the_first():
    with started("forks") as (process, worker):
        os.kill(int(worker), signal.SIGTERM)
        assert process.stdout.read() == f"{int(signal.SIGTERM)}\n"
        assert process.wait() == 0


def test_the_handlers_that_were_there_come_back_and_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        term = signal.getsignal(signal.SIGTERM)
        with stop_signals() as stop:
            assert not stop
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not term
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop
            assert stop.signal == signal.SIGTERM
            with pytest.raises(SystemExit) as left:
                stop.leave()
            assert left.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is term
    finally:
        signal.signal(signal.SIGHUP, before)


def test_no_signal_no_leaving():
    with stop_signals() as stop:
        stop.leave()
    assert not stop


def test_another_thread_is_told_where_to_go():
    said = []

    def enter():
        try:
            with stop_signals():
                pass
        except ConfigError as error:
            said.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert said == ["stop_signals works in the main thread only; enter it there"]
