"""The exception for everything a user can fix.

`PixelPlayError` carries the problem, what was expected, and a hint. The command line prints it without a traceback and
exits with status 2. Any other exception that reaches the user is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PixelPlayError(Exception):
    """An error in the input, the files or the configuration.

    Args:
        problem: what is wrong, naming the file or the Id.
        expected: what would be correct.
        hint: what the user can do.
    """

    def __init__(self, problem: str, *, expected: str = "", hint: str = ""):
        self.problem, self.expected, self.hint = problem, expected, hint
        lines = [problem]
        if expected:
            lines.append(f"  expected: {expected}")
        if hint:
            lines.append(f"  hint:     {hint}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple:
        """Pickle support: errors of worker processes keep their fields."""
        return _rebuilt, (self.problem, self.expected, self.hint)


def _rebuilt(problem: str, expected: str, hint: str) -> PixelPlayError:
    return PixelPlayError(problem, expected=expected, hint=hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean stae?' if a known word is similar; '' otherwise."""
    like = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {like[0]}?" if like else ""
