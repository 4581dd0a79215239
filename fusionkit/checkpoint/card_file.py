"""``README.md`` in a saved folder: written with the model, and people's own once they edit it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from fusionkit.errors import CheckpointError
from fusionkit.saved.manifest import MANIFEST, read_editable
from fusionkit.saved.texts import write_text

__all__ = ["CARD", "refuse_edited", "write_card"]

CARD = "README.md"


def write_card(fresh: Path, target: Path, text: str) -> str:
    """Writes the card into a new folder, or brings the edited one over from the old folder.

    Returns:
        The checksum with which a card was last written that nobody had edited.
    """
    written = _edited_since(target)
    if written is None:
        return write_text(fresh / CARD, text)
    shutil.copyfile(target / CARD, fresh / CARD)
    return written


def refuse_edited(target: Path) -> None:
    """Refuses a folder whose card somebody has edited, since a new one would take its place.

    Raises:
        CheckpointError: says what to write instead.
    """
    if _edited_since(target) is not None:
        raise CheckpointError(
            f"{target / CARD} was edited since it was saved, and card= would replace it; leave "
            "card out to keep it, or remove the file to have a new one"
        )


def _edited_since(target: Path) -> str | None:
    """Gives the checksum with which a card was written that is now another; else ``None``."""
    path = target / CARD
    if not path.is_file() or not (target / MANIFEST).is_file():
        return None
    written = read_editable(target).get(CARD)
    if written is None or hashlib.sha256(path.read_bytes()).hexdigest() == written:
        return None
    return written
