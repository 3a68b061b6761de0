"""Runs a batch through a network in as few parts as the device's memory allows.

Wraps a network whose inputs and outputs have the batch first; returns its output for the whole batch. After an
out-of-memory error it halves the number of windows per part, down to one. In training, the activations of a part are
recomputed in the backward pass (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016): loss and gradient
are those of the whole batch up to rounding, for a third more compute.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)


class InParts(nn.Module):
    """A network that takes its batch in parts.

    Without gradients it retries by itself. With gradients most memory is allocated after `forward` has returned, so
    the caller of `backward` catches the error, calls `halve` and repeats the step.

    Attributes:
        net: the network.
        most: windows per part; None = a whole batch.
    """

    def __init__(self, net: nn.Module, title: str = "network"):
        super().__init__()
        self.net, self.title, self.most = net, title, None

    def forward(self, *inputs: Tensor) -> Any:
        if torch.is_grad_enabled():
            return self._run(inputs)
        while True:
            try:
                return self._run(inputs)
            except torch.cuda.OutOfMemoryError:
                pass  # the failed call's tensors are freed only after this block
            self.halve(len(inputs[0]))

    def halve(self, batch: int) -> None:
        """Halve the number of windows per part.

        Raises:
            PixelPlayError: it was one already.
        """
        tried = min(batch, self.most or batch)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if tried == 1:
            raise PixelPlayError(f"{self.title}: the memory of the device does not hold a single window",
                                 hint="set a smaller height, or end what else uses the device")
        self.most = tried // 2
        log.warning("%s: out of memory with %d windows at once; going on with %d", self.title, tried, self.most)

    def _run(self, inputs: tuple[Tensor, ...]) -> Any:
        if self.most is None or len(inputs[0]) <= self.most:
            return self.net(*inputs)
        parts = zip(*(x.split(self.most) for x in inputs))
        if torch.is_grad_enabled():
            return _joined([checkpoint(self.net, *part, use_reentrant=False, preserve_rng_state=False)
                            for part in parts])
        return _joined([self.net(*part) for part in parts])


def _joined(parts: list[Any]) -> Any:
    """Concatenate the outputs of the parts, tensors or tuples of tensors."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    columns = [torch.cat(column) for column in zip(*parts)]
    return type(parts[0])(*columns) if hasattr(parts[0], "_fields") else tuple(columns)
