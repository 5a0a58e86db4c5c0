"""The graph of a network as mobile runtimes want it: constant filters only, norms as convolutions, no step for nothing."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from ..errors import EscError
from ..network.conv_attention import DYNAMIC_SIZE, ConvAttn
from ..network.layers import LayerNorm
from .order import Order
from .portable import PORTABLE, Layers, PortableConvAttn
from .quiet import in_short, quiet

_aten = torch.ops.aten
#: What may leave a tensor as it is.
NO_OPERATIONS = (_aten.alias.default, _aten.slice.Tensor, _aten.expand.default, _aten._to_copy.default, _aten.clone.default)


class ShiftedConvAttn(PortableConvAttn):
    """`PortableConvAttn` without filters that are made as it runs: nine shifted copies, each weighted by its tap."""

    def mix_nearby(self, mixed: Tensor, dynamic: Tensor) -> Tensor:
        """See `PortableConvAttn`."""
        return _weighted_shifts(mixed, dynamic.reshape(1, self.pdim, DYNAMIC_SIZE, DYNAMIC_SIZE))


def _weighted_shifts(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter each channel of (1, P, H, W) by its taps in (1, P, 3, 3), zeros beyond the border."""
    margin, (height, width) = DYNAMIC_SIZE // 2, x.shape[-2:]
    padded = F.pad(x, (margin, margin, margin, margin))
    taps = [
        padded[:, :, i : i + height, j : j + width] * kernel[:, :, i : i + 1, j : j + 1]
        for i in range(DYNAMIC_SIZE)
        for j in range(DYNAMIC_SIZE)
    ]
    return sum(taps[1:], taps[0])


class ConvolutionNorm(LayerNorm):
    """`LayerNorm` by 1x1 convolutions: of the axes of an image, runtimes average height and width only."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        channels = self.weight.numel()
        centred = F.conv2d(x, (torch.eye(channels) - 1 / channels)[:, :, None, None])
        variance = F.conv2d(centred * centred, torch.full((1, channels, 1, 1), 1 / channels))
        scaled = centred * torch.rsqrt(variance + self.eps) * self.weight.reshape(1, -1, 1, 1)
        return scaled + self.bias.reshape(1, -1, 1, 1)


#: What takes the place of a layer, see `esc_plugin.export.portable.replaced`.
LAYERS: Layers = PORTABLE | {ConvAttn: ShiftedConvAttn, LayerNorm: ConvolutionNorm}


def graph_of(order: Order, height: int, width: int) -> ExportedProgram:
    """Trace an order for images of one size.

    Raises
    ------
    EscError
        If torch can't.
    """
    module = order.network(LAYERS)
    example = tuple(order.example(height, width).values())
    try:
        with quiet(compiled_parts=True):
            traced = torch.export.export(module, example, strict=False).module()
            _fold(traced)
            program: ExportedProgram = torch.export.export(traced, example, strict=False).run_decompositions({})
    except Exception as error:  # its tracer raises almost anything
        raise EscError(f"torch {torch.__version__} can't trace this network: {in_short(error)}") from None
    _drop_no_operations(program)
    return program


def _fold(module: GraphModule) -> None:
    """Make a buffer of all that depends on weights and sizes alone: converters know no other constants."""
    known: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            known[node] = attrgetter(node.target)(module)
        elif node.op == "call_function" and all(before in known for before in node.all_input_nodes):
            arguments, options = (map_arg(given, known.__getitem__) for given in (node.args, node.kwargs))
            known[node] = node.target(*arguments, **options)
    registered = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
    for number, (node, value) in enumerate(known.items()):
        if isinstance(value, Tensor) and id(value) not in registered and not known.keys() >= node.users.keys():
            module.register_buffer(f"constant_{number}", value.detach().clone())
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(f"constant_{number}"))
    for node in reversed(known):
        if not node.users:  # assertions among them, which nothing uses anyway
            module.graph.erase_node(node)
    module.recompile()


def _drop_no_operations(program: ExportedProgram) -> None:
    graph = program.graph_module.graph
    for node in graph.nodes:
        if node.target in NO_OPERATIONS and _alike(node.args[0].meta["val"], node.meta["val"]):
            node.replace_all_uses_with(node.args[0])
            program.graph_signature.replace_all_uses(node.name, node.args[0].name)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _alike(before: Tensor, after: Tensor) -> bool:
    return before.shape == after.shape and before.dtype == after.dtype
