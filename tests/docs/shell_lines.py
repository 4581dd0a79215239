"""Splits the text of a ``sh`` block into commands; whatever is more than that is refused."""

from __future__ import annotations

import re
import shlex

__all__ = ["split_commands"]

SETTING = re.compile(r"[A-Z][A-Z0-9_]*=.*", re.DOTALL)


def split_commands(text: str) -> list[tuple[dict[str, str], list[str]]]:
    """Gives each command's settings (``NAME=value`` before it) and its words.

    Raises:
        ValueError: a pipe, a redirection, a list other than ``&&``, a variable, or an open quote.
    """
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word != "&&":
                if set(word) <= set("();<>|&") or "$" in word or "`" in word:
                    raise ValueError(f"{word!r} in {line!r}: only commands and && are understood")
                words.append(word)
            elif words:
                commands.append(_settings_before(words))
                words = []
    return commands


def _settings_before(words: list[str]) -> tuple[dict[str, str], list[str]]:
    settings: dict[str, str] = {}
    while words and SETTING.fullmatch(words[0]):
        name, _, value = words.pop(0).partition("=")
        settings[name] = value
    return settings, words
