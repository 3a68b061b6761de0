"""Diagram of a network, traced from the network itself.

Reads a torch module and its inputs; makes `Node`s and `Edge`s. The module runs once: boxes are its layers with their
actual output shapes, arrows come from autograd's graph. The diagram is always up to date with the code.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence

import torch
from graph import Edge, Node
from torch import Tensor, nn

CONVS = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear


def network_graph(net: nn.Module, inputs: Sequence[Tensor], *, names: Sequence[str] = ()
                  ) -> tuple[list[Node], list[Edge]]:
    """Boxes and arrows of one forward pass.

    Args:
        inputs: positional arguments of `net.forward`, floating point; None is passed on.
        names: of the outputs, in order; a named tuple has its own.
    """
    inputs = [x.detach().clone().requires_grad_(True) if isinstance(x, Tensor) else x for x in inputs]
    marks: dict[object, str] = {}
    calls: dict[str, list[tuple[int, ...]]] = {}
    seen: list[tuple[str, Tensor]] = []
    chosen = units(net)

    def hook(name: str):
        def note(_module, _inputs, output):
            out = _first(output)
            calls.setdefault(name, []).append(tuple(out.shape))
            if out.grad_fn is not None:
                marks[out.grad_fn] = name
                seen.append((name, out))
        return note

    handles = [module.register_forward_hook(hook(name)) for name, module in chosen.items()]
    try:
        with torch.enable_grad():
            outputs = net(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    nodes, edges = [], set()
    arguments = list(inspect.signature(net.forward).parameters)
    for argument, value in zip(arguments, inputs):
        if isinstance(value, Tensor):
            key = f"input {argument}"
            # autograd represents this input by the function that accumulates its gradient
            marks[value.view_as(value).grad_fn.next_functions[0][0]] = key
            nodes.append(Node(key, argument, (shape_words(value.shape),), "#FFFFFF", value.shape[-2]))
    names = tuple(getattr(outputs, "_fields", names))
    results = outputs if isinstance(outputs, tuple | list) else (outputs,)
    results = [r for r in results if isinstance(r, Tensor)]
    for name, shapes in calls.items():
        nodes.append(_box(name, chosen[name], shapes))
    for name, out in seen:
        edges |= {(source, name) for source in _sources(out.grad_fn, marks)}
    for i, result in enumerate(results):
        key = f"output {i}"
        heading = names[i].replace("_", " ") if i < len(names) else "output"
        nodes.append(Node(key, heading, (shape_words(result.shape),), "#FFFFFF", result.shape[-2]))
        start = [marks[result.grad_fn]] if result.grad_fn in marks else _sources(result.grad_fn, marks)
        edges |= {(source, key) for source in start}
    used = {k for e in edges for k in e}
    nodes = [n for n in nodes if n.key in used]
    levels = sorted({n.level for n in nodes}, reverse=True)
    return ([dataclasses.replace(n, level=levels.index(n.level)) for n in nodes],
            [Edge(a, b) for a, b in sorted(edges)])


def units(net: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    """The modules that become boxes: lists and long sequences are expanded into single blocks."""
    out: dict[str, nn.Module] = {}
    for name, child in net.named_children():
        path = f"{prefix}{name}"
        if isinstance(child, nn.ModuleList):
            out |= {f"{path}.{i}": c for i, c in enumerate(child)}
        elif any(isinstance(c, nn.ModuleList) for c in child.children()):
            out |= units(child, f"{path}.")
        elif isinstance(child, nn.Sequential) and sum(isinstance(c, nn.Sequential) for c in child) > 1:
            out |= {f"{path}.{i}": c for i, c in enumerate(child)}
        elif any(True for _ in child.parameters()):
            out[path] = child
    # normalisations and activations belong to the preceding layer
    return {k: m for k, m in out.items() if any(isinstance(part, CONVS) for part in m.modules())}


def _sources(start, marks: dict[object, str]) -> set[str]:
    """Names of the nearest marked functions from which `start` was computed."""
    found, stack, known = set(), [f for f, _ in start.next_functions if f is not None], set()
    while stack:
        node = stack.pop()
        if node in known:
            continue
        known.add(node)
        if node in marks:
            found.add(marks[node])
            continue
        stack += [f for f, _ in node.next_functions if f is not None]
    return found


def _first(output) -> Tensor:
    return output if isinstance(output, Tensor) else next(o for o in output if isinstance(o, Tensor))


def _box(name: str, module: nn.Module, shapes: list[tuple[int, ...]]) -> Node:
    layers = [m for m in module.modules() if isinstance(m, CONVS)]
    count = sum(p.numel() for p in module.parameters())
    kind = type(module).__name__
    if len(layers) == 1:
        kind = _layer_words(layers[0])
    elif isinstance(module, nn.Sequential) and layers:
        kind = f"{len(layers)} x {type(layers[0]).__name__}"
    parameters = f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count / 1e3:.1f} k"
    repeats = f", {len(shapes)} times" if len(shapes) > 1 else ""
    own = not isinstance(module, nn.Sequential | CONVS)
    transposed = any(isinstance(m, nn.ConvTranspose2d | nn.ConvTranspose3d) for m in layers)
    return Node(name, name, (kind, shape_words(shapes[0]), parameters + repeats),
                "#F3C98B" if own else "#9ADBC5" if transposed else "#A9D6F5", shapes[0][-2])


def _layer_words(layer: nn.Module) -> str:
    if isinstance(layer, nn.Linear):
        return "Linear"
    kernel = "x".join(map(str, layer.kernel_size))
    stride = "" if max(layer.stride) == 1 else " / " + "x".join(map(str, layer.stride))
    return f"{type(layer).__name__.replace('Transpose', 'T')} {kernel}{stride}"


def shape_words(shape: Sequence[int]) -> str:
    """(1, 32, 8, 96, 160) -> '32 x 8 x 96 x 160' (without the batch)."""
    return " x ".join(map(str, tuple(shape)[1:]))
