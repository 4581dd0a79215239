"""Whether a plugin is found, loads, and leaves the process as it was."""

from __future__ import annotations

from collections.abc import Iterator

from fusionkit.errors import FusionKitError, did_you_mean
from fusionkit.plugins.plugin import Kind
from fusionkit.testing.check import Check, Finding, check
from fusionkit.testing.network import blocked_network
from fusionkit.testing.plugins.heavy import heavy_modules
from fusionkit.testing.plugins.subject import PluginSubject
from fusionkit.testing.words import some

__all__ = ["CHECKS", "can_be_listed", "is_found", "loads"]

KINDS: tuple[Kind, ...] = ("backbone", "head")
SLOW = 1.0


@check("install a distribution with one entry point of that name", first=True)
def is_found(subject: PluginSubject) -> Iterator[Finding]:
    """Exactly one installed distribution has an entry point of that name."""
    if subject.is_given:
        return
    found = subject.candidates
    if len(found) > 1:
        homes = " and ".join(f"{each.distribution} {each.version}" for each in found)
        yield Finding(
            f"{len(found)} entry points are called {subject.name!r}, of {homes}",
            "uninstall one, or rename it: the entry point's name is the namespace of its models",
        )
    elif not found:
        yield Finding(
            f"no entry point {subject.name!r} is installed."
            + did_you_mean(subject.name, subject.installed),
            "write '[project.entry-points.fusionkit]' and "
            f"'{subject.name} = \"your_package.plugin\"' in pyproject.toml, then pip install -e .",
        )
        for each in subject.skipped:
            yield Finding(
                f"distribution {each.distribution} was skipped: {each.reason}", "install it anew"
            )
    elif subject.plugin.blocked is not None:
        yield Finding(f"it is {subject.plugin.blocked}", "unset that variable")


@check("answer the hooks as the message says", first=True)
def loads(subject: PluginSubject) -> Iterator[Finding]:
    """It imports, says an interface version that exists, and answers hooks with mappings."""
    try:
        subject.offer  # noqa: B018 -- asks it
    except FusionKitError as error:
        yield Finding(
            str(error).partition(" Repair or uninstall it")[0],
            "mark functions fusionkit_backbones and fusionkit_heads with @fusionkit.hookimpl, "
            "and return a mapping of names to factories",
        )


@check("make iterating over the mappings work without network", first=True)
def can_be_listed(subject: PluginSubject) -> Iterator[Finding]:
    """Its names can be listed without network."""
    with blocked_network():
        for kind in KINDS:
            try:
                subject.listed(kind)
            except FusionKitError as error:
                yield Finding(
                    str(error).partition(" Repair or uninstall it")[0],
                    "list names that the distribution brings along, as text; a name that only a "
                    "hub knows can be looked up without being listed",
                )


@check("import heavy libraries inside of the functions that need them")
def imports_lightly(subject: PluginSubject) -> Iterator[Finding]:
    """Importing it in a fresh process and asking its hooks imports no heavy library."""
    trace = subject.trace
    if trace.error:
        yield Finding(
            f"in a fresh process it fails: {trace.error:.500}", "import all that it needs itself"
        )
        return
    heavy = sorted(heavy_modules(subject.candidates[0].distribution) & set(trace.modules))
    if heavy:
        yield Finding(
            f"it imports {some(heavy)}, so that nobody can list models or fuse "
            "others without waiting for that",
            "import it inside of the factory; where a class of it is a base class, put yours into "
            "a module of its own that the factory imports",
        )


@check("print nothing at import")
def prints_nothing(subject: PluginSubject) -> Iterator[Finding]:
    """Importing, asking and listing it writes nothing to stdout or stderr."""
    if subject.trace.printed:
        yield Finding(
            f"it writes {subject.trace.printed!r:.200}", "log with logging.getLogger(__name__)"
        )


@check("change nothing that others share")
def import_changes_nothing_shared(subject: PluginSubject) -> Iterator[Finding]:
    """Importing it changes no setting, seed or environment variable that others share."""
    for change in subject.trace.changes:
        yield Finding(f"importing it changes {change}", "leave to the user what everybody shares")


@check("bring the names along")
def reaches_for_no_network(subject: PluginSubject) -> Iterator[Finding]:
    """Importing and listing it does not reach for the network."""
    trace = subject.trace
    attempts = list(dict.fromkeys([*trace.attempts, *trace.listing_attempts]))
    if attempts:
        yield Finding(
            f"it reaches for {some(attempts)}",
            "list names that the distribution brings along; ask a hub only in the factory, for "
            "pretrained weights",
        )
    elif trace.listing_error:
        yield Finding(
            f"its names cannot be listed in a fresh process: {trace.listing_error:.300}",
            "make iterating over the mapping work after nothing but an import",
        )


@check("build in the factory only")
def lists_without_building(subject: PluginSubject) -> Iterator[Finding]:
    """Importing it and going through its names builds no network."""
    trace = subject.trace
    if trace.built or trace.listing_built:
        when = "importing it" if trace.built else "going through its names"
        yield Finding(
            f"{when} makes {trace.built or trace.listing_built} modules of torch",
            "give factories, which build when they are called, and not what they build",
        )


@check("make iterating over the mapping quick")
def lists_quickly(subject: PluginSubject) -> Iterator[Finding]:
    """Going through its names a second time takes less than a second."""
    if subject.trace.seconds > SLOW:
        yield Finding(
            f"listing {subject.trace.names:,} names takes {subject.trace.seconds:.1f} s",
            "keep the names in a tuple or in functools.cache; look up one factory at a time",
        )


CHECKS: tuple[Check[PluginSubject], ...] = (
    imports_lightly,
    prints_nothing,
    import_changes_nothing_shared,
    reaches_for_no_network,
    lists_without_building,
    lists_quickly,
)
