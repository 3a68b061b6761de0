"""`pixelplay settings [MODEL ...]`: the settings for --set, with types, defaults per profile and meanings.

Reads the `Config` dataclasses of the models and their docstrings.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import shutil
import sys
import textwrap
from typing import Any

from pixelplay.config import PROFILES
from pixelplay.registry import MODELS, model_class, model_title
from pixelplay.tables import text_table


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a model: name, type, value in each profile, and meaning."""

    name: str
    kind: str
    values: dict[str, Any]
    meaning: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare MODEL."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all: " + " ".join(MODELS))


def run(args: argparse.Namespace) -> int:
    """Print one table per model."""
    for name in args.models or MODELS:
        print("\n".join(table(name)) + "\n")
    print("change them with: pixelplay run --set MODEL.SETTING=VALUE ...   (a list: --set stae.widths=24,48,64)")
    return 0


def settings(name: str) -> list[Setting]:
    """The settings of a model. Raises PixelPlayError for an unknown model."""
    config = model_class(name).Config
    profiles = {p: config.profile(p) for p in PROFILES}
    meanings = documented(config)
    return [Setting(f.name, str(f.type), {p: getattr(c, f.name) for p, c in profiles.items()},
                    meanings.get(f.name, "")) for f in dataclasses.fields(config)]


def documented(config: type) -> dict[str, str]:
    """Setting -> meaning, from the `Attributes:` of a dataclass, of its bases, and of classes it refers to by "see
    `Other`"."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        doc = inspect.getdoc(cls) if "__doc__" in vars(cls) else None
        _, _, listed = (doc or "").partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \S)", listed.split("\n\n")[0].rstrip()):
            names, colon, words = entry.partition(":")
            for name in re.findall(r"\w+", names) if colon else []:
                found[name] = " ".join(words.split())
    for name, words in found.items():
        other = _named(match[1]) if (match := re.fullmatch(r"see `(\w+)`\.", words)) else None
        found[name] = documented(other).get(name, words) if other is not None else words
    return found


def _named(name: str) -> type | None:
    """A class of one of this package's modules that the models need."""
    for model in MODELS:
        model_class(model)
    modules = [m for key, m in list(sys.modules.items()) if key.startswith("pixelplay.") and hasattr(m, name)]
    return getattr(modules[0], name) if modules else None


def table(name: str) -> list[str]:
    """Lines of the settings table of a model, wrapped to the width of the terminal."""
    rows = settings(name)
    cells = [[s.name, s.kind.replace("tuple[", "").replace(", ...]", ", ..."), *map(_short, s.values.values())]
             for s in rows]
    lines = text_table(["setting", "type", *PROFILES], cells)
    width = max(40, shutil.get_terminal_size((140, 24)).columns - len(lines[0]) - 2)
    pad = " " * (max(map(len, lines)) + 2)
    out = [f"{name}: {model_title(name)}", f"{lines[0]:{len(pad)}}meaning"]
    for line, setting in zip(lines[1:], rows):
        first, *rest = textwrap.wrap(setting.meaning, width) or [""]
        out += [f"{line:{len(pad)}}{first}".rstrip(), *(pad + more for more in rest)]
    return out


def overview() -> str:
    """All settings with their values in the lite profile, for `--help`."""
    lines = ["settings of the models with their values in the lite profile (--set MODEL.SETTING=VALUE; meanings: "
             "pixelplay settings MODEL)", ""]
    for name in MODELS:
        pairs = [f"{s.name}={_short(s.values['lite'])}".replace(" ", "\0") for s in settings(name)]
        lines += textwrap.wrap("  ".join(pairs), 110, initial_indent=f"  {name}: ", subsequent_indent="    ",
                               break_on_hyphens=False, break_long_words=False)
    return "\n".join(lines).replace("\0", " ")


def _short(value: Any) -> str:
    """Format a value as --set accepts it; the empty string in quotes."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value) or "''"
