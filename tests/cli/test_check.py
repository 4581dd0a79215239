"""``fusionkit check``."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

import fusionkit as fk


class Adds(fk.FusionHead):
    """Adds up scores of the branches' vectors."""

    reads = "vector"
    used = None

    def __init__(self, inputs, *, num_classes: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.out = nn.ModuleDict(
            {name: nn.Linear(inputs[name].embed_dim, num_classes) for name in sorted(inputs)}
        )

    def forward(self, features):
        names = list(self.out)[: self.used]
        return self.gain * sum(self.out[name](features[name].vector) for name in names)


class AddsTwo(Adds):
    """Adds up scores of two branches, and ignores the rest."""

    used = 2


class Mean(fk.Backbone):
    """One convolution and its mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed_dim = width
        self.stages = (fk.Stage("stem"),)
        self.stem = nn.Conv2d(3, width, 3)

    def forward(self, x, reads):
        return fk.Features(vector=self.stem(x).mean((2, 3)))


def build_mean(*, in_channels, weights, num_classes, width=4):
    return Mean(width)


@pytest.fixture
def checked(monkeypatch) -> fk.Catalog:
    toys = SimpleNamespace(
        fusionkit_backbones=fk.hookimpl(lambda: {"mean": build_mean, "both": build_mean}),
        fusionkit_heads=fk.hookimpl(lambda: {"adds": Adds, "two": AddsTwo, "both": Adds}),
    )
    own = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"adds": Adds}))
    catalog = fk.Catalog().with_plugin("toys", toys).with_plugin("heads", own)
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: catalog))
    return catalog


pytestmark = pytest.mark.usefixtures("checked")


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("adds", "head adds"),
        ("toys/adds", "head toys/adds"),
        ("heads/adds", "head heads/adds"),
        ("toys/mean", "backbone toys/mean"),
        ("toys/both", "backbone toys/both"),
        ("toys", "plugin toys"),
    ],
)
def test_a_name_is_a_plugin_a_backbone_or_a_head(piped, name, subject):
    code, out, err = piped("check", name, "--only", "builds")
    assert (code, err) == (0, "")
    assert out.startswith(f"{subject}: ")


def test_where_several_have_a_name_it_is_said_which(piped):
    code, out, _ = piped("check", "toys/both", "--kind", "head", "--only", "builds")
    assert code == 0
    assert out.startswith("head toys/both: ")


def test_what_failed_is_printed_with_what_to_do_and_the_exit_code_is_one(piped):
    code, out, err = piped("check", "toys/two", "--only", "each_branch_counts")
    assert (code, err) == (1, "")
    assert out.splitlines()[:3] == [
        "head toys/two: 3 passed, 1 failed",
        "  FAILED each_branch_counts",
        "    - the answer does not depend on branch 'text' (with 3 branches)",
    ]
    assert "-> use every branch in forward" in out


def test_a_plugin_is_checked_with_all_that_it_offers(piped):
    code, out, _ = piped("check", "toys", "--only", "each_branch_counts")
    assert code == 1
    assert "FAILED head two: each_branch_counts" in out
    assert "FAILED head adds" not in out


def test_no_more_than_the_limit_are_asked(piped):
    code, out, _ = piped("check", "toys", "--only", "each_branch_counts", "--limit", "1")
    assert code == 0
    assert "not run: 2 more heads (limit=1;" in out


def test_options_are_json_or_text(piped):
    given = ("--only", "builds", "--option", "gain=2.5")
    assert piped("check", "adds", *given)[0] == 0
    code, out, _ = piped("check", "adds", "--only", "builds", "--option", "gian=2.5")
    assert code == 1
    assert "gian" in out


def test_the_number_of_classes_reaches_the_backbone(piped):
    only = ("--only", "classifier_is_kept_on_request")
    assert "gives no classifier for 5 or 1000 classes" in piped("check", "toys/mean", *only)[1]
    code, out, _ = piped("check", "toys/mean", *only, "--option", "num_classes=12")
    assert code == 1
    assert "built with num_classes=12, it has num_classes=None" in out


@pytest.mark.parametrize("written", ["gain", "=3"])
def test_an_option_without_key_or_value_is_refused(piped, written):
    code, _, err = piped("check", "adds", "--option", written)
    assert code == 2
    assert "--option is KEY=VALUE, for example width=8" in err


def test_a_plugin_takes_no_options(piped):
    code, _, err = piped("check", "toys", "--option", "width=8")
    assert code == 2
    assert "--option is for a backbone or a head" in err


def test_an_unknown_name_is_refused_or_told(piped):
    code, _, err = piped("check", "toys/meen")
    assert code == 2
    assert "Did you mean 'toys/mean'" in err
    code, out, _ = piped("check", "toyz")
    assert code == 1
    assert "no entry point 'toyz' is installed" in out


def test_an_unknown_check_is_refused(piped):
    code, _, err = piped("check", "adds", "--only", "bilds")
    assert code == 2
    assert "Did you mean 'builds'" in err


def test_slow_checks_are_asked_where_that_is_said(piped, monkeypatch):
    from fusionkit.testing.heads import conformance

    asked = []
    monkeypatch.setattr(
        conformance, "judge", lambda checks, *_: asked.extend(c.name for c in checks) or ()
    )
    piped("check", "adds")
    assert "compiles" not in asked
    piped("check", "adds", "--slow")
    assert "compiles" in asked
