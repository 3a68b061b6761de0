"""No code that decides a kept artefact changes unnoticed: each version is recorded with a digest of its modules.

Run as a program, it records the present code: `python Final_codes/tests/test_versions.py`.
"""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

import pixelplay
from pixelplay.registry import MODELS as REGISTRY
from pixelplay.registry import model_class
from pixelplay.versions import ARTEFACTS, MODELS

PACKAGE = Path(pixelplay.__file__).parent
RECORD = Path(__file__).with_name("versions.json")
DECIDING = ("repair", "scenes", "flow", "two_stream", "autoencoders", "sample")
SHOWING = {"repair/command.py", "sample/command.py"}
"""Modules of these subpackages that only show what others made."""
STREAMS = {"flow/stream.py", "autoencoders/stream.py", "two_stream/stream.py", "two_stream/local_stream.py"}
"""Keep nothing, and have to give the scores of a file (test_watch_scorer.py)."""


def plain(node: object) -> object:
    """A syntax tree without positions, docstrings and empty fields, as JSON: equal for equal code."""
    if isinstance(node, list):
        return [plain(n) for n in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(fields.get("body"), list):
        # a docstring, and the strings that describe constants
        fields["body"] = [n for n in fields["body"] if not (
            isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) and isinstance(n.value.value, str))]
    return [type(node).__name__, *([k, plain(v)] for k, v in fields.items() if v is not None and v != [])]


def digest_of(source: str) -> str:
    """16 hex digits over the code of a module."""
    return hashlib.sha256(json.dumps(plain(ast.parse(source))).encode()).hexdigest()[:16]


def present() -> dict[str, dict]:
    """Artefact or model -> its version and the digests of its modules."""
    listed = {name: (a.number, a.modules) for name, a in ARTEFACTS.items()}
    listed |= {name: (model_class(name).version, modules) for name, modules in MODELS.items()}
    return {name: {"version": version, "modules": {m: digest_of((PACKAGE / m).read_text()) for m in sorted(modules)}}
            for name, (version, modules) in sorted(listed.items())}


def changes(recorded: dict[str, dict], now: dict[str, dict]) -> list[str]:
    """One line for each artefact that is not as recorded."""
    lines = []
    for name in sorted(recorded.keys() | now.keys()):
        old, new = (r.get(name, {"version": None, "modules": {}}) for r in (recorded, now))
        changed = sorted(m for m in old["modules"].keys() | new["modules"].keys()
                         if old["modules"].get(m) != new["modules"].get(m))
        if old["version"] != new["version"]:
            lines.append(f"{name}: version {old['version']} is recorded, the code says {new['version']}")
        elif changed:
            lines.append(f"{name}: version {new['version']}, but {', '.join(changed)} changed")
    return lines


def test_code_that_decides_an_artefact_changes_with_its_version_only():
    found = changes(json.loads(RECORD.read_text()), present())
    assert not found, "\n".join([
        *found, "Raise the version (pixelplay/versions.py, or the model's) of what the same input now gives another "
                "result for; then record the code with: python Final_codes/tests/test_versions.py"])


def test_every_deciding_module_and_every_model_is_listed():
    listed = {m for a in ARTEFACTS.values() for m in a.modules} | {m for modules in MODELS.values() for m in modules}
    there = {p.relative_to(PACKAGE).as_posix() for part in DECIDING for p in (PACKAGE / part).glob("*.py")
             if p.name != "__init__.py"}
    assert listed - {"data/corruption.py", "calibration.py"} == there - SHOWING - STREAMS
    assert set(MODELS) == set(REGISTRY)


def test_a_digest_sees_code_and_neither_comments_nor_docstrings():
    code = 'A = 3\n\n\ndef f(x: int = 2) -> int:\n    return x + A\n'
    same = ('"""Module."""\nA = 3  # three\n"""Of things."""\n\n'
            'def f(x: int = 2) -> int:\n    """Do."""\n    return (x + A)\n')
    assert digest_of(code) == digest_of(same)
    for other in (code.replace("3", "4"), code.replace("x + A", "x - A"), code.replace("2", "2.0")):
        assert digest_of(code) != digest_of(other)


def test_a_change_is_named_with_its_artefact_and_module():
    old = {"a": {"version": 1, "modules": {"m.py": "0", "n.py": "1"}}, "b": {"version": 2, "modules": {}}}
    new = {"a": {"version": 1, "modules": {"m.py": "0", "n.py": "2"}}, "b": {"version": 3, "modules": {}}}
    assert changes(old, old) == []
    assert changes(old, new) == ["a: version 1, but n.py changed",
                                 "b: version 2 is recorded, the code says 3"]


if __name__ == "__main__":
    RECORD.write_text(json.dumps(present(), indent=1, sort_keys=True) + "\n")
