"""The kinds of mutated input: each writes one and gives the call that reads it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import fusionkit as fk
from fusionkit.recipe.form import recipe_from_data
from fusionkit.recipe.text import parse_json, parse_yaml
from fusionkit.saved.manifest import write_manifest
from fusionkit.tensors.read import read_tensors
from fusionkit.tensors.source import open_source
from fuzzing.mutations import mutate_bytes, mutate_header, mutate_json
from fuzzing.seeds import Seeds, catalog

__all__ = ["CATALOG", "KINDS", "Call", "kind_of", "write_case"]

Call = Callable[[], object]


def write_case(kind: str, folder: Path, chance: Random, seeds: Seeds) -> Call:
    """Writes a mutated input into a fresh folder and gives the call that reads it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return WRITERS[kind](folder, chance, seeds)


def kind_of(number: int) -> str:
    """Gives the kind of a case, so that all are spread evenly by their share."""
    return KINDS[number % len(KINDS)]


def write_tensors(folder: Path, chance: Random, seeds: Seeds) -> Call:
    path = folder / "model.safetensors"
    raw = chance.choice(seeds.files)
    for _ in range(chance.choice((1, 1, 2, 3))):
        raw = mutate_header(raw, chance, chance.choice(seeds.files))
    path.write_bytes(raw)

    def read() -> None:
        source = open_source(path)
        assert read_tensors(path).keys() == source.entries.keys()

    return read


def write_weights(folder: Path, chance: Random, seeds: Seeds) -> Call:
    """The same, but loaded into a branch."""
    write_tensors(folder, chance, seeds)
    branch = fk.Branch("tiny/net", weights=folder / "model.safetensors")
    recipe = fk.Recipe({"rgb": branch}, fk.Head("concat"), num_classes=2)
    return partial(fk.compose, recipe, catalog=CATALOG)


def write_index(folder: Path, chance: Random, seeds: Seeds) -> Call:
    shutil.copytree(seeds.sharded, folder, dirs_exist_ok=True)
    index = next(folder.glob("*.index.json"))
    shards = sorted(folder.glob("*.safetensors"))
    for _ in range(chance.choice((1, 1, 2, 3))):
        way = chance.randrange(9)
        if way < 6:
            index.write_bytes(mutate_json(index.read_bytes(), chance))
        elif way == 6:
            index.write_bytes(mutate_bytes(index.read_bytes(), chance, seeds.files[0]))
        elif way == 7:
            shard = chance.choice(shards)
            shard.write_bytes(mutate_header(shard.read_bytes(), chance, seeds.files[1]))
        else:
            _displace(chance.choice(shards), chance.choice(shards))
    if chance.random() < 0.1:
        _plant(folder, chance)
    path = chance.choice((folder, index))
    return lambda: open_source(path).read()


def write_saved(folder: Path, chance: Random, seeds: Seeds) -> Call:
    """A saved folder; mostly with new checksums, so that what they guard is reached."""
    shutil.copytree(chance.choice(seeds.saved), folder, dirs_exist_ok=True)
    manifest = folder / "manifest.json"
    files = [path for path in sorted(folder.iterdir()) if path != manifest]
    for _ in range(chance.choice((1, 1, 2, 3))):
        way = chance.randrange(10)
        path = folder / "config.json" if way < 6 else chance.choice([*files, manifest])
        if path.suffix == ".safetensors":
            path.write_bytes(mutate_header(path.read_bytes(), chance, seeds.files[1]))
        elif way % 3:
            path.write_bytes(mutate_json(path.read_bytes(), chance))
        else:
            path.write_bytes(mutate_bytes(path.read_bytes(), chance, seeds.files[0]))
    if chance.random() < 0.1:
        _displace(chance.choice(files), chance.choice(files))
    if chance.random() < 0.8:
        _seal(folder, chance)
    if chance.random() < 0.1:
        _plant(folder, chance)
    return partial(fk.load, folder, catalog=CATALOG)


def write_recipe(folder: Path, chance: Random, seeds: Seeds, suffixes: str) -> Call:
    text = chance.choice([t for t in seeds.recipes if t.startswith("{") == (suffixes == "json")])
    raw = text.encode()
    for _ in range(chance.choice((1, 1, 2, 3))):
        other = chance.choice(seeds.recipes).encode()
        as_tree = text.startswith("{") and chance.random() < 0.7
        raw = mutate_json(raw, chance) if as_tree else mutate_bytes(raw, chance, other)
    # What is written as JSON is read as YAML too, which has its own ways with it.
    suffix = chance.choice(("json", "json", "yaml")) if suffixes == "json" else "yaml"
    path = folder / f"recipe.{suffix}"
    path.write_bytes(raw)

    def read() -> None:
        recipe = fk.read_recipe(path)
        for form, parse in (("yaml", parse_yaml), ("json", parse_json)):
            again = recipe_from_data(parse(fk.format_recipe(recipe, form), "again"))
            assert again == recipe, f"what is read comes back from {form} otherwise"

    return read


def _displace(one: Path, other: Path) -> None:
    """Two files change places."""
    if one.exists() and other.exists() and one != other:
        one.rename(one.with_name("x"))
        other.rename(one)
        one.with_name("x").rename(other)


def _plant(folder: Path, chance: Random) -> None:
    """Puts what is no plain file in a file's place, or beside."""
    taken = chance.choice([*sorted(folder.iterdir()), folder / "linked.safetensors"])
    taken.unlink(missing_ok=True)
    match chance.randrange(5):
        # An index that is itself a link was given as it is; what it names must lie beside it.
        case 0 if not taken.name.endswith(".index.json"):
            taken.symlink_to("../outside.safetensors")
        case 1:
            taken.symlink_to("/dev/zero")
        case 2:
            os.mkfifo(taken)
        case 3:
            taken.mkdir()
        case _:
            taken.symlink_to(taken.name)


def _seal(folder: Path, chance: Random) -> None:
    """Gives the folder a manifest that agrees with what it holds, as an attacker would."""
    manifest = folder / "manifest.json"
    try:
        files = json.loads(manifest.read_bytes())["files"]
        names = [name for name in files if (folder / name).is_file()]
        sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return  # or it names what cannot be read, such as /proc/self/mem
    if chance.random() < 0.1:
        return  # a manifest that was mutated stays so
    manifest.unlink()
    write_manifest(folder, sums)


CATALOG = catalog()
WRITERS: dict[str, Callable[[Path, Random, Seeds], Call]] = {
    "tensors": write_tensors,
    "weights": write_weights,
    "index": write_index,
    "saved": write_saved,
    "json": partial(write_recipe, suffixes="json"),
    "yaml": partial(write_recipe, suffixes="yaml"),
}
KINDS = (*WRITERS, "tensors", "index", "saved", "json")
