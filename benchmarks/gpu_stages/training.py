"""One iteration of training, with the gradient of the attention's bias by three ways."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from esc_plugin.network import ESC, attention, biased_attention, released

from .bench import MIB, Bench, Row, stage
from .networks import bundled_models

Attend = Callable[..., Tensor]
KERNEL = torch.ops.aten._scaled_dot_product_efficient_attention


def _recomputed(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor) -> Tensor:
    out: Tensor = biased_attention.BiasedAttention.apply(q, k, v, attn_mask[0])
    return out


def _efficient(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor) -> Tensor:
    """Torch's kernel has a gradient for the bias, though `scaled_dot_product_attention` doesn't take it then."""
    bias = attn_mask.expand(len(q), -1, -1, -1)
    out: Tensor = KERNEL(q, k, v, bias, True)[0]
    return out


WAYS: dict[str, Attend] = {
    "as it is": F.scaled_dot_product_attention,
    "scores made again": _recomputed,
    "torch's kernel asked itself": _efficient,
}


@stage("training: an iteration of L1 and AdamW", 60)
def training(bench: Bench) -> None:
    nano = bundled_models()[0].config
    for config, label, batch in ((nano, "bundled", 32), (released("ESC-lt", 2), "ESC-lt x2", 16)):
        for way, attend in WAYS.items():
            if attend is _efficient and not bench.cuda:
                continue
            for precision in (None, torch.bfloat16):
                if bench.left() < 3:
                    bench.add(note="out of time")
                    return
                row: Row = {"network": label, "batch": batch, "attention": way, "autocast": str(precision)}
                changed = SimpleNamespace(scaled_dot_product_attention=attend, pad=F.pad)
                with (
                    bench.noting(row),
                    patch.object(attention, "F", changed),
                    patch.object(biased_attention, "CHUNK", 2**28),
                ):
                    torch.manual_seed(0)
                    row |= _iterate(bench, ESC(config).to(bench.device).train(), 2 if bench.tiny else batch, precision)
                bench.add(**row)
                bench.clean()


def _iterate(bench: Bench, network: ESC, batch: int, autocast: torch.dtype | None) -> Row:
    side, scale = 32 if bench.tiny else 64, network.config.scale
    image = torch.rand(batch, 3, side, side, device=bench.device)
    truth = torch.rand(batch, 3, side * scale, side * scale, device=bench.device)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=bench.cuda)
    losses: list[float] = []

    def iteration() -> None:
        with torch.inference_mode(False), torch.enable_grad():
            optimizer.zero_grad()
            with torch.autocast(bench.device.type, autocast, enabled=autocast is not None):
                loss = F.l1_loss(network(image), truth)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())  # type: ignore[arg-type]  # a number once the time has been taken

    row = bench.time({"iteration": iteration}, seconds=2, most=20)["iteration"]
    return row | {"loss_after_2": float(losses[1]), "gradient": _gradient_norm(network), "parameters_mib": _size(network)}


def _gradient_norm(network: ESC) -> float:
    table = network.blocks[0].attn.relative_position_bias.grad
    return float(table.norm()) if table is not None else float("nan")


def _size(network: ESC) -> float:
    return sum(p.numel() * p.element_size() for p in network.parameters()) / MIB
