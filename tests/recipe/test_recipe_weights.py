"""What a recipe says of a checkpoint of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

import fusionkit as fk
from fusionkit.recipe.weights import is_source

SUM = "0" * 64


def recipe(weights):
    return fk.Recipe({"a": fk.Branch("timm/resnet18", weights=weights)}, fk.Head("concat"), 3)


@pytest.mark.parametrize(
    "weights",
    [
        "model.safetensors",
        fk.Weights("folder"),
        fk.Weights("hf-hub:owner/name@main", ignore=["fc.*"]),
        fk.Weights(
            "x.safetensors", rename={"encoder_q.": ""}, missing=["b"], resize=["c"], sha256=SUM
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_it_is_written_and_read_back(tmp_path, weights, form):
    file = tmp_path / f"recipe.{form}"
    file.write_text(fk.format_recipe(recipe(weights), form))
    again = fk.read_recipe(file).branches["a"].weights
    source = again.source if isinstance(again, fk.Weights) else again
    wanted = weights.source if isinstance(weights, fk.Weights) else weights
    assert source == (wanted if wanted.startswith("hf-hub:") else str(tmp_path / wanted))
    if isinstance(weights, fk.Weights):
        assert (again.rename, again.ignore) == (weights.rename, weights.ignore)
        assert (again.missing, again.resize) == (weights.missing, weights.resize)
        assert again.sha256 == weights.sha256


def test_lists_and_paths_become_plain():
    given = fk.Weights(Path("a") / "b.safetensors", ignore=["x"])
    assert given == fk.Weights(str(Path("a") / "b.safetensors"), ignore=("x",))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": ""}, "takes the path"),
        ({"source": 3}, "takes the path"),
        ({"source": "a\nb"}, "takes the path"),
        ({"source": "x", "ignore": "fc"}, r"Weights.ignore is a list of globs"),
        ({"source": "x", "missing": [1]}, r"Weights.missing is a list of globs"),
        ({"source": "x", "resize": {"a": 1}}, r"Weights.resize is a list of globs"),
        ({"source": "x", "rename": ["a"]}, r"Weights.rename says what"),
        ({"source": "x", "rename": {"a": 1}}, r"Weights.rename says what"),
        ({"source": "x", "sha256": "abc"}, r"Weights.sha256 is the file's checksum"),
        ({"source": "x", "sha256": SUM.replace("0", "A")}, "in lower case"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(fk.ConfigError, match=message):
        fk.Weights(**fields)


def test_a_tag_is_no_source():
    for source in (
        "a.safetensors",
        "A.SAFETENSORS",
        "m.safetensors.index.json",
        "./x",
        "hf-hub:a/b",
    ):
        assert is_source(source)
    for tag in ("default", "a1_in1k", "IMAGENET1K_V2"):
        assert not is_source(tag)
