"""What broken, hostile and clashing plugins must not be able to do."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

import fusionkit as fk
from fusionkit import Catalog, ConfigError, PluginError

BREAKAGES = {
    "import_error": ("import no_such_module_at_all", "ModuleNotFoundError: No module named"),
    "syntax_error": ("def broken(:", "SyntaxError: "),
    "attribute_error": ("import math; math.no_such", "AttributeError: "),
    "own_error": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "base_exception": ("class Panic(BaseException): pass\nraise Panic('rust')", "Panic: rust"),
    "import_exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "hook_exit": (
        "import fusionkit, sys\n@fusionkit.hookimpl\ndef fusionkit_backbones(): sys.exit(4)",
        "failed in fusionkit_backbones: SystemExit: 4",
    ),
}


def record_of(name: str):
    return next(record for record in Catalog.installed().plugins() if record.name == name)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_f001_f002_a_plugin_that_fails_stops_no_other(install, breakage):
    source, said = BREAKAGES[breakage]
    install("toy-broken", source, name="broken")
    install("toy-good", name="good")
    catalog = Catalog.installed()
    assert catalog.backbone("good/x").distribution == "toy-good"
    assert catalog.backbones("good") == ["good/deep/name", "good/x"]
    with pytest.raises(PluginError) as caught:
        catalog.backbone("broken/x")
    message = str(caught.value)
    assert message.startswith("plugin 'broken' (toy-broken 1.0) ")
    assert said in message
    assert message.endswith(
        ". Repair or uninstall it, or set FUSIONKIT_DISABLE_PLUGINS=broken to go on without it"
    )
    assert caught.value.__cause__ is not None
    record = record_of("broken")
    assert (record.state, record.distribution, record.version) == ("failed", "toy-broken", "1.0")
    assert said in record.reason


def test_f001_a_missing_attribute_of_the_module_is_told(install):
    install("toy-broken", entry_points="[fusionkit]\nbroken = toy_broken:plugin\n")
    with pytest.raises(PluginError, match=r"could not be imported: AttributeError: .*'plugin'"):
        Catalog.installed().backbone("broken/x")


def test_f001_strict_mode_raises_at_once(install, monkeypatch):
    install("toy-broken", "import no_such_module_at_all", name="broken")
    monkeypatch.setenv("FUSIONKIT_LOAD_PLUGINS", "broken")
    assert "broken" in repr(Catalog.installed())
    monkeypatch.setenv("FUSIONKIT_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="no_such_module_at_all"):
        Catalog.installed()
    monkeypatch.setenv("FUSIONKIT_STRICT_PLUGINS", "yes")
    with pytest.raises(PluginError, match="FUSIONKIT_STRICT_PLUGINS is 0 or 1, got 'yes'"):
        Catalog.installed()


@pytest.mark.parametrize("where", ["import", "hook"])
def test_f002_ctrl_c_is_not_swallowed(install, where):
    source = (
        "raise KeyboardInterrupt"
        if where == "import"
        else "import fusionkit\n@fusionkit.hookimpl\ndef fusionkit_heads(): raise KeyboardInterrupt"
    )
    install("toy-slow", source, name="slow")
    with pytest.raises(KeyboardInterrupt):
        Catalog.installed().backbone("slow/x")


def run_python(code: str, site: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(site), **environment},
    )


def test_f003_a_plugin_can_be_kept_out_from_the_environment(install):
    site = install("toy-killer", "import os; os._exit(9)", name="killer")
    ask = "import fusionkit as fk; fk.Catalog.installed().backbones('killer')"
    assert run_python(ask, site).returncode == 9
    blocked = run_python(ask, site, FUSIONKIT_DISABLE_PLUGINS="killer, timm")
    assert blocked.returncode == 1
    assert "PluginError: plugin 'killer' is blocked by FUSIONKIT_DISABLE_PLUGINS" in blocked.stderr
    none = run_python(
        "import fusionkit as fk; print({p.state for p in fk.Catalog.installed().plugins()})",
        site,
        FUSIONKIT_LOAD_PLUGINS="",
    )
    assert none.stdout == "{'blocked'}\n"


def test_f003_only_the_plugins_asked_for_are_let_in(install, monkeypatch):
    install("toy-a", name="a")
    install("toy-b", name="b")
    monkeypatch.setenv("FUSIONKIT_LOAD_PLUGINS", "b")
    assert Catalog.installed().backbones() == ["b/deep/name", "b/x"]
    with pytest.raises(PluginError, match="not among those that FUSIONKIT_LOAD_PLUGINS=b lets in"):
        Catalog.installed().backbone("a/x")


def test_f003_an_unknown_blocked_name_is_a_warning(install, monkeypatch):
    install("toy-a", name="shiny")
    monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", "shinny")
    with pytest.warns(
        UserWarning,
        match="names 'shinny', but no such plugin is installed. Did you mean 'shiny'",
    ):
        Catalog.installed()


@pytest.mark.parametrize("order", [("toy-a", "toy-b"), ("toy-b", "toy-a")])
def test_f004_two_distributions_of_one_name_are_both_refused(install, order):
    for distribution in order:
        install(distribution, name="same")
    install("toy-c", name="other")
    catalog = Catalog.installed()
    assert catalog.backbone("other/x").name == "other/x"
    with pytest.raises(PluginError, match="is offered twice") as caught:
        catalog.backbone("same/x")
    assert "toy-a 1.0" in str(caught.value)
    assert "toy-b 1.0" in str(caught.value)
    assert not [name for name in catalog.backbones() if name.startswith("same/")]
    assert set(record_of("same").distribution.split(", ")) == {"toy-a", "toy-b"}


def test_f004_one_distribution_seen_twice_is_no_clash(install):
    install("toy-a", name="a", version="1.0", folder="old")
    install("toy-a", name="a", version="2.0", folder="new")
    assert Catalog.installed().backbone("a/x").version == "2.0"


@pytest.mark.parametrize("order", [("toy-a", "toy-b"), ("toy-b", "toy-a")])
def test_f005_the_same_model_of_two_providers_is_two_names(install, order):
    for distribution in order:
        install(distribution)
    catalog = Catalog.installed()
    assert catalog.backbone("toy_a/x").distribution == "toy-a"
    assert catalog.backbone("toy_b/x").distribution == "toy-b"
    with pytest.raises(ConfigError, match=r"'provider/model'.* got 'x'"):
        catalog.backbone("x")


def hook(
    body: str, name: str = "fusionkit_backbones", arguments: str = "", mark: str = "()"
) -> str:
    return f"import fusionkit\n@fusionkit.hookimpl{mark}\ndef {name}({arguments}):\n    {body}\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            hook("return {}", name="fusionkit_backbonez"),
            "answers 'fusionkit_backbonez', which is no hook of fusionkit. "
            "Did you mean 'fusionkit_backbones'?",
        ),
        (
            hook("return {}", name="fusionkit_backbonez", mark="(optionalhook=True)"),
            "Did you mean 'fusionkit_backbones'?",
        ),
        (
            "def fusionkit_heads(): return {}",
            "has 'fusionkit_heads' without the mark: write @fusionkit.hookimpl above it",
        ),
        ("backbones = {}", "answers none of fusionkit's hooks: give the module a function"),
    ],
    ids=["typo", "optional", "unmarked", "nothing"],
)
def test_f006_a_hook_that_would_never_be_called_is_refused(install, source, said):
    install("toy-typo", source, name="typo")
    with pytest.raises(PluginError) as caught:
        Catalog.installed().backbone("typo/x")
    assert "plugin 'typo' (toy-typo 1.0)" in str(caught.value)
    assert said in str(caught.value)


def test_f007_a_hook_with_wrong_arguments_is_refused_and_not_called(install):
    called = hook("raise RuntimeError('called')", name="fusionkit_heads", arguments="config")
    install("toy-args", called + hook("return {'x': int}"), name="args")
    catalog = Catalog.installed()
    with pytest.raises(
        PluginError, match=r"plugin 'args' \(toy-args 1.0\).*cannot be called.*config"
    ):
        catalog.backbone("args/x")
    with pytest.raises(PluginError, match="cannot be called"):
        catalog.head("args/x")
    assert "args/x" not in catalog.backbones()


def test_f008_a_hook_that_raises_takes_nobody_along(install):
    install("toy-bad", hook("raise ValueError('boom')"), name="bad")
    install("toy-good", name="good")
    catalog = Catalog.installed()
    assert "good/x" in catalog.backbones()
    with pytest.raises(
        PluginError, match=r"'bad' .*failed in fusionkit_backbones: ValueError: boom"
    ):
        catalog.backbone("bad/x")


async def a_coroutine_function(**options): ...


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (0, "answers fusionkit_backbones with 0; it must give a mapping"),
        ("", "with ''; it must give a mapping"),
        (None, "with None; it must give a mapping"),
        ([("x", int)], "it must give a mapping"),
        ({1: int}, "gives the name 1; names are strings"),
        ({" x": int}, "gives the name ' x'; a name is printable"),
        ({"": int}, "gives the name ''"),
        ({"a\0b": int}, "a name is printable"),
        ({"x": 3}, "gives 3 as the factory of 'x'; it must be callable"),
        ({"x": a_coroutine_function}, "a coroutine function as the factory of 'x'"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_f009_a_wrong_answer_is_refused(answer, said):
    plugin = SimpleNamespace(fusionkit_backbones=fk.hookimpl(lambda: answer))
    with pytest.raises(PluginError, match="plugin 'toy'") as caught:
        Catalog().with_plugin("toy", plugin)
    assert said in str(caught.value)


def test_f009_a_coroutine_is_refused_and_closed():
    async def fusionkit_backbones(): ...

    plugin = SimpleNamespace(fusionkit_backbones=fk.hookimpl(fusionkit_backbones))
    with pytest.raises(PluginError, match="with a coroutine; write plain def, not async def"):
        Catalog().with_plugin("toy", plugin)


def test_f009_an_answer_given_twice_or_wrapped_is_refused():
    def answer():
        return {}

    def wrap():
        return (yield)

    mark = fk.hookimpl(specname="fusionkit_heads")
    twice = SimpleNamespace(one=mark(lambda: {}), two=mark(lambda: {}))
    with pytest.raises(PluginError, match="answers fusionkit_heads 2 times"):
        Catalog().with_plugin("toy", twice)
    wrapper = SimpleNamespace(fusionkit_heads=fk.hookimpl(wrapper=True)(wrap))
    with pytest.raises(PluginError, match="wraps fusionkit_heads"):
        Catalog().with_plugin("toy", wrapper)


def test_f010_a_plugin_can_change_nothing_that_others_see():
    given = []

    def build(*, in_channels, weights, num_classes, widths):
        given.append(list(widths))
        widths.append(99)
        raise ConfigError("enough")

    plugin = SimpleNamespace(fusionkit_backbones=fk.hookimpl(lambda: {"x": build}))
    catalog = Catalog().with_plugin("toy", plugin).with_plugin("heads", _heads())
    branch = fk.Branch("toy/x", weights=None, options={"widths": [1]})
    for _ in range(2):
        with pytest.raises(ConfigError, match="enough"):
            fk.compose({"a": branch}, head=fk.Head("toy_head"), num_classes=2, catalog=catalog)
    assert given == [[1], [1]]
    assert branch.options == {"widths": [1]}
    names = catalog.backbones()
    names.clear()
    assert catalog.backbones() == ["toy/x"]


def _heads():
    return SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"toy_head": dict}))


def test_f011_unreadable_entry_points_are_listed_with_the_reason(install):
    install("toy-garbage", entry_points="what is this\n")
    install("toy-binary", entry_points=b"[fusionkit]\n\xff\xfe = x\n")
    install("toy-line", entry_points="[fusionkit]\nno equals sign\n")
    install("toy-good", name="good")
    catalog = Catalog.installed()
    reasons = {skipped.distribution: skipped.reason for skipped in catalog.skipped}
    assert reasons.keys() == {"toy-garbage 1.0", "toy-binary 1.0", "toy-line 1.0"}
    assert reasons["toy-garbage 1.0"] == (
        "entry_points.txt, line 1: 'what is this' is no 'name = module' in a [group]"
    )
    assert "cannot be read" in reasons["toy-binary 1.0"]
    assert "line 2: 'no equals sign'" in reasons["toy-line 1.0"]
    assert "good/x" in catalog.backbones()


@pytest.mark.parametrize("value", ["", "not a module", ":attribute", "a b:c"])
def test_f011_an_entry_point_that_names_no_module_is_told(install, value):
    install("toy-empty", entry_points=f"[fusionkit]\nempty = {value}\n")
    with pytest.raises(PluginError, match=r"'empty' \(toy-empty 1.0\) .*names no module: write"):
        Catalog.installed().backbone("empty/x")


def test_f011_a_name_that_cannot_be_a_namespace_is_told(install):
    install("toy-name", entry_points="[fusionkit]\na/b = toy_name\n")
    record = record_of("a/b")
    assert "cannot have this name: it is a letter or digit" in record.reason


def test_f012_a_class_instead_of_an_instance_is_refused_with_the_fix(install):
    source = """
        import fusionkit
        class Plugin:
            @fusionkit.hookimpl
            def fusionkit_backbones(self):
                return {"x": int}
        plugin = Plugin()
    """
    install("toy-class", source, entry_points="[fusionkit]\nbad = toy_class:Plugin\n")
    install("toy-object", source, entry_points="[fusionkit]\ngood = toy_object:plugin\n")
    catalog = Catalog.installed()
    assert catalog.backbone("good/x").factory is int
    with pytest.raises(
        PluginError, match=r"is the class Plugin, .*`plugin = Plugin\(\)`.*':plugin'"
    ):
        catalog.backbone("bad/x")


def test_f012_one_module_under_two_names_is_refused_with_the_fix(install, monkeypatch):
    install("toy-two", entry_points="[fusionkit]\none = toy_two\nuno = toy_two\n")
    for name in ("one/x", "uno/x"):
        with pytest.raises(PluginError, match="under the names 'one' and 'uno'; keep one"):
            Catalog.installed().backbone(name)
    monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", "uno")
    assert Catalog.installed().backbone("one/x").name == "one/x"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (0, "has fusionkit_api = 0; it is a whole number from 1 on, now 1"),
        (1, None),
        (99, "needs version 99 of the plugin interface, but this fusionkit has version 1"),
        ("x", "has fusionkit_api = 'x'; it is a whole number"),
        (True, "has fusionkit_api = True; it is a whole number"),
    ],
)
def test_f013_a_plugin_for_another_interface_is_refused_by_name(install, version, said):
    install("toy-api", f"fusionkit_api = {version!r}\n" + hook("return {'x': int}"), name="api")
    if said is None:
        assert Catalog.installed().backbone("api/x").name == "api/x"
        return
    with pytest.raises(PluginError) as caught:
        Catalog.installed().backbone("api/x")
    assert str(caught.value).startswith("plugin 'api' (toy-api 1.0)")
    assert said in str(caught.value)
