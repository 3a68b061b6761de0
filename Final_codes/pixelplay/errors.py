"""One exception for everything a user can mend.

`PixelPlayError` carries what is wrong, what was expected and how to mend it; the command line prints it
without a traceback and exits with status 2. Anything else that escapes is a defect of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PixelPlayError(Exception):
    """A mistake in the input, the files or the configuration.

    Args:
        problem: what is wrong, naming the file or the Id.
        expected: what would have been right.
        hint: what the user can do about it.
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
        """An error of a worker process comes home whole."""
        return _rebuilt, (self.problem, self.expected, self.hint)


def _rebuilt(problem: str, expected: str, hint: str) -> PixelPlayError:
    return PixelPlayError(problem, expected=expected, hint=hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean stae?' where a known word is much like another one; '' elsewhere."""
    like = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {like[0]}?" if like else ""
