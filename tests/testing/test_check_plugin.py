"""The kit for plugins: a good one passes, and each planted fault is told by the right check."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from evil_head_reads import TwoOnly
from evil_plugins import EVIL_PLUGINS, GOOD, EvilPlugin, exchanged, put_distribution

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.testing.plugins import factories, naming
from fusionkit.testing.plugins.all import PLUGIN_CHECKS

OWN = [check.name for check in PLUGIN_CHECKS]
EXAMPLE = Path(__file__).parents[2] / "plugins" / "fusionkit-example"

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Gives a function that installs a distribution for one test."""
    before = set(sys.modules)
    for variable in ("DISABLE", "LOAD", "STRICT"):
        monkeypatch.delenv(f"FUSIONKIT_{variable}_PLUGINS", raising=False)

    def put(distribution: str, source: str, **more) -> Path:
        site = put_distribution(tmp_path / distribution, distribution, source, **more)
        monkeypatch.syspath_prepend(site)
        return site

    yield put
    for added in set(sys.modules) - before:
        origin = getattr(sys.modules[added], "__file__", None) or ""
        if origin.startswith((str(tmp_path), str(EXAMPLE))):
            del sys.modules[added]


IN_PYTHON = {check.name for group in (naming, factories) for check in group.CHECKS}
FRESH = [evil for evil in EVIL_PLUGINS if not set(evil.checks) <= IN_PYTHON]
GIVEN = [evil for evil in EVIL_PLUGINS if set(evil.checks) <= IN_PYTHON]


@pytest.mark.parametrize("evil", GIVEN, ids=lambda evil: evil.fault)
def test_each_fault_of_what_is_offered_is_told_by_its_check_and_by_no_other(evil: EvilPlugin):
    plugin = ModuleType("evil")
    exec(evil.source, vars(plugin))
    catalog = fk.Catalog().with_plugin("evil", plugin)
    judge_fault(kit.check_plugin("evil", only=OWN, catalog=catalog, on_fail="report"), evil)


@pytest.mark.parametrize("evil", FRESH, ids=lambda evil: evil.fault)
def test_each_fault_of_import_is_told_by_its_check_and_by_no_other(install, evil: EvilPlugin):
    for dependency in ("evil-dependency", "lightning"):
        install(dependency, "", entry=None)
    install("evil-plugin", evil.source, requires=evil.requires)
    judge_fault(kit.check_plugin("evil", only=OWN, on_fail="report"), evil)


def judge_fault(report: kit.Report, evil: EvilPlugin) -> None:
    assert tuple(outcome.check for outcome in report.failures) == evil.checks
    found = [finding for outcome in report.failures for finding in outcome.findings]
    assert evil.says in found[0].what
    assert all(finding.todo for finding in found)


def test_every_check_of_a_plugin_tells_something():
    told = {check for evil in EVIL_PLUGINS for check in evil.checks}
    assert set(OWN) - told == {"is_found"}  # below


def test_a_good_plugin_passes_with_all_that_it_offers(install):
    install("good-plugin", GOOD, entry="good")
    report = kit.check_plugin("good")
    assert report.subject == "plugin good"
    assert {outcome.check for outcome in report.outcomes} >= {
        *OWN,
        "backbone net: builds",
        "head join: each_branch_counts",
    }
    skipped = [outcome.check for outcome in report.outcomes if outcome.check in OWN]
    assert len(skipped) == len(OWN)


def test_a_plugin_that_is_not_there_is_told_with_near_names(install):
    install("good-plugin", GOOD, entry="good")
    with pytest.raises(kit.ConformanceError, match="Did you mean 'good'") as caught:
        kit.check_plugin("goood")
    assert "pip install -e ." in str(caught.value)


def test_a_name_that_is_there_twice_is_told_with_both_homes(install):
    install("good-plugin", GOOD, entry="good")
    install("second-plugin", GOOD, entry="good")
    report = kit.check_plugin("good", on_fail="report")
    (failure,) = report.failures
    assert failure.check == "is_found"
    assert "good-plugin 1.0" in failure.findings[0].what
    assert "second-plugin 1.0" in failure.findings[0].what


def test_a_blocked_plugin_is_told(install, monkeypatch):
    install("good-plugin", GOOD, entry="good")
    monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", "good")
    report = kit.check_plugin("good", on_fail="report")
    assert "FUSIONKIT_DISABLE_PLUGINS=good" in report["is_found"].findings[0].what


FEW = ["each_branch_counts", "builds"]
BROKEN = exchanged('return {"join": Join}', 'return {"join": Join, "pair": Pair}') + (
    "\n\nclass Pair(Join):\n"
    '    """Ignores a third branch."""\n\n'
    "    def forward(self, features):\n"
    "        return sum(self.out[n](features[n].vector) for n in list(self.out)[:2])\n"
)


def test_faults_of_heads_and_backbones_carry_their_names(install):
    source = BROKEN.replace("self.embed_dim = 8", "self.embed_dim = 0")
    install("broken-plugin", source, entry="broken")
    report = kit.check_plugin("broken", only=FEW, on_fail="report")
    assert [outcome.check for outcome in report.failures] == [
        "backbone net: builds",
        "head pair: each_branch_counts",
    ]
    assert report["head join: each_branch_counts"].status == "passed"


@pytest.mark.parametrize("name", ["pair", "broken/pair"])
def test_failures_are_expected_by_name(install, name):
    install("broken-plugin", BROKEN, entry="broken")
    expected = {name: {"each_branch_counts": "it is for pairs"}}
    report = kit.check_plugin("broken", only=FEW, expected_failures=expected)
    assert report["head pair: each_branch_counts"].cause == "it is for pairs"


def test_failures_of_the_plugin_as_such_are_expected_by_its_own_name(install):
    install("talking-plugin", GOOD + "\nprint('hello')\n", entry="talking")
    expected = {"talking": {"prints_nothing": "it greets"}}
    report = kit.check_plugin("talking", only=["prints_nothing"], expected_failures=expected)
    assert report["prints_nothing"].status == "expected"


def test_an_expected_failure_of_something_unknown_is_refused(install):
    install("good-plugin", GOOD, entry="good")
    with pytest.raises(fk.ConfigError, match=r"nothing called 'nett' .* Did you mean 'net'"):
        kit.check_plugin("good", only=["is_found"], expected_failures={"nett": {}})


def test_an_unknown_check_is_refused_with_near_names():
    with pytest.raises(fk.ConfigError, match="Did you mean 'imports_lightly'"):
        kit.check_plugin("heads", only=["imports_lightl"])


def test_no_more_are_asked_than_the_limit_and_the_rest_is_told(install):
    names = ", ".join(f'"net{index}": build' for index in range(7))
    source = exchanged('{"net": build}', "{" + names + "}")
    install("large-plugin", source, entry="large")
    report = kit.check_plugin("large", only=["builds"], heads=[], limit=3)
    asked = re.findall(r"backbone (net\d): builds", " ".join(o.check for o in report.outcomes))
    assert asked == ["net0", "net3", "net6"]
    assert report["4 more backbones"].status == "not run"
    assert "limit=3" in report["4 more backbones"].cause
    everything = kit.check_plugin("large", only=["builds"], limit=None)
    assert len([o for o in everything.outcomes if o.check.endswith("builds")]) == 8


def test_options_are_given_by_name(install):
    source = exchanged(
        "def build(*, in_channels=3,", "def build(*, must, in_channels=3,"
    )  # an option without which it cannot be built
    install("strict-plugin", source, entry="strict")
    only = ["builds", "factories_take_the_keywords"]
    report = kit.check_plugin("strict", only=only, on_fail="report")
    assert [outcome.check for outcome in report.failures] == [
        "factories_take_the_keywords",
        "backbone net: builds",
    ]
    kit.check_plugin("strict", backbones={"strict/net": {"must": 1}}, only=only)


def test_a_plugin_given_in_python_is_asked_all_but_its_import():
    class Given:
        @fk.hookimpl
        def fusionkit_heads(self):
            return {"pair": TwoOnly}

    catalog = fk.Catalog().with_plugin("given", Given())
    only = ["each_branch_counts", "imports_lightly", "is_found"]
    report = kit.check_plugin("given", catalog=catalog, only=only, on_fail="report")
    assert report["imports_lightly"].status == "skipped"
    assert "given in Python" in report["imports_lightly"].cause
    assert [outcome.check for outcome in report.failures] == ["head pair: each_branch_counts"]


def test_the_example_plugin_passes(install):
    text = (EXAMPLE / "pyproject.toml").read_text()
    (entry,) = re.findall(r'entry-points\.fusionkit\]\nexample = "(.*)"', text)
    site = install("fusionkit-example", "", entry=None)
    (site / "fusionkit_example-1.0.dist-info" / "entry_points.txt").write_text(
        f"[fusionkit]\nexample = {entry}\n"
    )
    (site / "fusionkit_example.py").unlink()
    sys.path.insert(0, str(EXAMPLE / "src"))
    try:
        kit.check_plugin("example")
    finally:
        sys.path.remove(str(EXAMPLE / "src"))
