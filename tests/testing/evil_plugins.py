"""Installed plugins with one planted fault each, and a good one."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

GOOD = '''
import fusionkit as fk
from torch import nn


class Net(fk.Backbone):
    """One convolution and its mean."""

    def __init__(self, in_channels):
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = 8
        self.levels = (fk.Level(8, 2),)
        self.stages = (fk.Stage("stem"),)
        self.first_layers = ("stem.weight",)
        self.preprocessing = fk.Preprocessing(size=(32, 32)).for_channels(in_channels)
        self.stem = nn.Conv2d(in_channels, 8, 3, 2, 1)

    def forward(self, x, reads):
        maps = self.stem(x).relu()
        return fk.Features(
            vector=maps.mean((2, 3)) if reads.vector else None,
            maps=tuple(maps for _ in reads.levels),
        )


def build(*, in_channels=3, weights=None, num_classes=None):
    return Net(in_channels)


class Join(fk.FusionHead):
    """Adds up scores of the branches' vectors."""

    reads = "vector"

    def __init__(self, inputs, *, num_classes):
        super().__init__()
        self.out = nn.ModuleDict(
            {name: nn.Linear(inputs[name].embed_dim, num_classes) for name in sorted(inputs)}
        )

    def forward(self, features):
        return sum(out(features[name].vector) for name, out in self.out.items())


@fk.hookimpl
def fusionkit_backbones():
    return {"net": build}


@fk.hookimpl
def fusionkit_heads():
    return {"join": Join}
'''

LAZY = """

from collections.abc import Mapping

class Names(Mapping):
    def __init__(self, **found):
        self.found = found
    def __getitem__(self, name):
        return self.found[name]
    def __iter__(self):
        return iter(self.found)
    def __len__(self):
        return len(self.found)
"""


def lazily(method: str) -> str:
    """Gives the good plugin with a mapping of its own, in which one method is another."""
    return (
        GOOD
        + LAZY
        + dedent(method).replace("\n", "\n    ")
        + dedent("""

        @fk.hookimpl
        def fusionkit_backbones():
            return Names(net=build)
        """)
    )


def exchanged(old: str, new: str) -> str:
    """Gives the good plugin with one piece of text exchanged."""
    assert old in GOOD, old
    return GOOD.replace(old, new)


class EvilPlugin(NamedTuple):
    """What is wrong, the plugin's source, the checks that must tell it, and what they say."""

    fault: str
    source: str
    checks: tuple[str, ...]
    says: str
    requires: tuple[str, ...] = ()


EVIL_PLUGINS = (
    EvilPlugin("fails_to_import", "import nothing_of_that_name", ("loads",), "nothing_of_that"),
    EvilPlugin(
        "misspells_a_hook",
        exchanged("def fusionkit_heads", "def fusionkit_haeds"),
        ("loads",),
        "Did you mean 'fusionkit_heads'",
    ),
    EvilPlugin(
        "forgets_the_mark",
        exchanged("@fk.hookimpl\ndef fusionkit_heads", "def fusionkit_heads"),
        ("loads",),
        "without the mark",
    ),
    EvilPlugin(
        "answers_with_a_list",
        exchanged('return {"join": Join}', "return [Join]"),
        ("loads",),
        "it must give a mapping",
    ),
    EvilPlugin("needs_the_future", GOOD + "\nfusionkit_api = 99\n", ("loads",), "version 99"),
    EvilPlugin("imports_heavily", "import lightning\n" + GOOD, ("imports_lightly",), "lightning"),
    EvilPlugin(
        "imports_heavily_when_asked",
        exchanged('return {"join"', 'import lightning\n    return {"join"'),
        ("imports_lightly",),
        "lightning",
    ),
    EvilPlugin(
        "imports_what_it_declares",
        "import evil_dependency\n" + GOOD,
        ("imports_lightly",),
        "evil_dependency",
        requires=("Evil_Dependency>=1.0",),
    ),
    EvilPlugin("talks", GOOD + "\nprint('welcome')\n", ("prints_nothing",), "welcome"),
    EvilPlugin(
        "talks_below_python",
        GOOD + "\nimport os\nos.write(2, b'loaded')\n",
        ("prints_nothing",),
        "loaded",
    ),
    EvilPlugin(
        "sets_a_variable",
        GOOD + "\nimport os\nos.environ['EVIL_PLUGIN'] = '1'\n",
        ("import_changes_nothing_shared",),
        "EVIL_PLUGIN",
    ),
    EvilPlugin(
        "sets_the_seed",
        GOOD + "\nimport torch\ntorch.manual_seed(3)\n",
        ("import_changes_nothing_shared",),
        "random state",
    ),
    EvilPlugin(
        "sets_the_precision",
        GOOD + "\nimport torch\ntorch.set_float32_matmul_precision('medium')\n",
        ("import_changes_nothing_shared",),
        "matmul precision",
    ),
    EvilPlugin(
        "phones_home_at_import",
        GOOD
        + dedent("""
        import socket
        try:
            socket.create_connection(("hub.invalid", 443), timeout=1)
        except OSError:
            pass
        """),
        ("reaches_for_no_network",),
        "hub.invalid",
    ),
    EvilPlugin(
        "asks_a_hub_for_names",
        lazily("""
        def __iter__(self):
            import urllib.request
            urllib.request.urlopen("http://hub.invalid/names")
            yield "net"
        """),
        ("can_be_listed",),
        "hub.invalid",
    ),
    EvilPlugin(
        "builds_what_it_lists",
        lazily("""
        def __iter__(self):
            for name, factory in self.found.items():
                factory(in_channels=3)
                yield name
        """),
        ("lists_without_building",),
        "makes",
    ),
    EvilPlugin(
        "builds_at_import",
        GOOD + "\nREADY = Net(3)\n",
        ("import_changes_nothing_shared", "lists_without_building"),
        "random state",
    ),
    EvilPlugin(
        "lists_slowly",
        lazily("""
        def __iter__(self):
            import time
            time.sleep(1.1)
            return iter(self.found)
        """),
        ("lists_quickly",),
        "names takes 1.1",
    ),
    EvilPlugin(
        "has_odd_names",
        exchanged('{"net": build}', '{"net": build, "my net": build}'),
        ("names_can_be_written",),
        "'my net'",
    ),
    EvilPlugin(
        "doubles_its_name",
        exchanged('{"net": build}', '{"evil/net": build}'),
        ("names_can_be_written",),
        "'evil/evil/net'",
    ),
    EvilPlugin(
        "offers_nothing",
        exchanged('{"net": build}', "{}").replace('{"join": Join}', "{}"),
        ("names_can_be_written",),
        "no name at all",
    ),
    EvilPlugin(
        "finds_nothing_where_nothing_is",
        lazily("""
        def __getitem__(self, name):
            return self.found.get(name)
        """),
        ("unknown_names_are_key_errors",),
        "gives None",
    ),
    EvilPlugin(
        "fails_where_nothing_is",
        lazily("""
        def __getitem__(self, name):
            assert name in self.found, name
            return self.found[name]
        """),
        ("unknown_names_are_key_errors",),
        "AssertionError",
    ),
    EvilPlugin(
        "takes_no_weights",
        exchanged("weights=None, num_classes=None):", "num_classes=None):"),
        ("factories_take_the_keywords",),
        "a plugin's factory takes them all",
    ),
    EvilPlugin(
        "head_takes_no_classes",
        exchanged("def __init__(self, inputs, *, num_classes):", "def __init__(self, inputs):"),
        ("factories_take_the_keywords",),
        "num_classes",
    ),
    EvilPlugin(
        "swallows_options",
        exchanged("weights=None, num_classes=None):", "weights=None, num_classes=None, **rest):"),
        ("factories_refuse_unknown_options",),
        "without a word",
    ),
    EvilPlugin(
        "phones_home_without_weights",
        exchanged(
            "    return Net(in_channels)",
            "    import socket\n"
            "    try:\n"
            "        socket.getaddrinfo('hub.invalid', 443)\n"
            "    except OSError:\n"
            "        pass\n"
            "    return Net(in_channels)",
        ),
        ("builds_without_network",),
        "hub.invalid",
    ),
    EvilPlugin(
        "weights_as_one_text",
        GOOD + "\nbuild.available_weights = 'default'\n",
        ("weights_can_be_listed",),
        "'default'",
    ),
    EvilPlugin(
        "weights_that_fail",
        GOOD + "\nbuild.available_weights = lambda: 1 / 0\n",
        ("weights_can_be_listed",),
        "ZeroDivisionError",
    ),
)


def put_distribution(
    folder: Path,
    distribution: str,
    source: str,
    *,
    entry: str | None = "evil",
    requires: tuple[str, ...] = (),
) -> Path:
    """Writes an installed distribution of one module into a folder that is to be on sys.path."""
    module = distribution.replace("-", "_")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{needs}"
    )
    (info / "top_level.txt").write_text(f"{module}\n")
    if entry is not None:
        (info / "entry_points.txt").write_text(f"[fusionkit]\n{entry} = {module}\n")
    return folder
