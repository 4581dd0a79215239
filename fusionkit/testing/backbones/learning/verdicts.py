"""The words for what was seen while a branch thawed, learned and froze again."""

from __future__ import annotations

from fusionkit.testing.check import Finding
from fusionkit.testing.words import some

__all__ = [
    "tell_again",
    "tell_missing",
    "tell_moved",
    "tell_passes",
    "tell_strange",
    "tell_thawed",
]


def tell_missing(names: list[str], when: str) -> Finding:
    """Says what learns and got no gradient, and when."""
    return Finding(
        f"{when} {len(names)} of what learns got no gradient: {some(names)}",
        "do not switch gradients by `self.training`: the trunk is in eval mode as long as some "
        "of its stages are frozen",
    )


def tell_moved(names: list[str], when: str) -> Finding:
    """Says what of the frozen stages changed, and when."""
    return Finding(
        f"{when} one step changed {len(names)} tensors of frozen stages: {some(names)}",
        "let each module change only buffers of its own, `if self.training`, and share none "
        "between stages; only the optimizer changes parameters",
    )


def tell_strange(paths: list[str], when: str, homeless: list[str], lone: list[str]) -> Finding:
    """Says which frozen modules computed otherwise, and when, and what may be the cause.

    Args:
        paths: of the modules.
        when: how much learned.
        homeless: dropouts and such that are in no stage.
        lone: parameters that learned and belong to no layer of their stage.
    """
    told = f"{when} frozen stages compute otherwise than when all is frozen: {some(paths)}"
    if lone:
        return Finding(
            f"{told}; beside the layers of the stages that learn stand {some(lone)}",
            "list a lone parameter, such as a position embedding or a token, in the stage that "
            "reads it first",
        )
    loose = f"; no stage names {some(homeless)}" if homeless else ""
    return Finding(
        f"{told}{loose}",
        "let noise and statistics of a stage depend on `training` of a module of that very stage, "
        "and name its dropouts in its blocks; keep no state from one pass to the next",
    )


def tell_thawed(
    *, wrong: list[str], fixed: list[str], idle: list[str], silent: list[str]
) -> list[Finding]:
    """Says what thawing did not restore."""
    found = []
    if wrong:
        found.append(
            Finding(
                f"after everything has thawed requires_grad is not as it was declared: "
                f"{some(wrong)}",
                "set requires_grad in __init__ only, neither in forward nor in train()",
            )
        )
    if fixed:
        found.append(
            Finding(
                f"parameters that their author fixed have moved: {some(fixed)}",
                "change no parameter in forward; what has requires_grad=False stays as it is",
            )
        )
    if idle:
        found.append(
            Finding(
                f"nothing moved in stages that had thawed: {some(idle)}",
                "use the parameters themselves in forward, not copies of them",
            )
        )
    if silent:
        found.append(
            Finding(
                f"after everything has thawed modules are still in eval mode: {some(silent)}",
                "let train(mode) hand its argument to super().train(mode)",
            )
        )
    return found


def tell_passes(names: list[str]) -> list[Finding]:
    """Says what changed without a step of an optimizer, if anything did."""
    if not names:
        return []
    return [
        Finding(
            f"a forward and a backward pass alone changed {len(names)} parameters: {some(names)}",
            "compute a normalised or averaged weight anew in each pass, and leave parameters to "
            "the optimizer",
        )
    ]


def tell_again(names: list[str]) -> list[Finding]:
    """Says what changed after it was frozen again, if anything did."""
    if not names:
        return []
    return [
        Finding(
            f"steps after freezing again changed {len(names)} tensors: {some(names)}",
            "remember nothing of having learned: what changes a buffer asks `self.training` each "
            "time",
        )
    ]
