"""The Transformer against PyTorch's, attention written out against the fused kernel, Muon against `torch.optim.Muon`.

    python benchmarks/transformer.py [repeats]

Each pair computes the same from the same numbers, one thread, each run in a process of its own, turn by turn.
"""

import sys

import torch
from harness import compare
from torch import nn

from course_lib.attention import attention, fused_attention
from course_lib.training.muon import Muon
from course_lib.transformer import Architecture, Stack

ARCHITECTURE = Architecture(d_model=128, n_heads=4, d_ff=256, n_layers=3, positions="none")  # lesson 04's, unplaced


def stacks():
    torch.manual_seed(0)
    return Stack(ARCHITECTURE), Stack(ARCHITECTURE, cross=True)


def own(B, S, T):
    encoder, decoder = stacks()

    def forward(source, target):
        sources = decoder.look_at(encoder(source)[0])
        return decoder(target, sources=sources, causal=True)[0]

    return step(forward, B, S, T)


def torchs(B, S, T):
    a = ARCHITECTURE
    model = nn.Transformer(a.d_model, a.n_heads, a.n_layers, a.n_layers, a.d_ff, 0.0, batch_first=True, norm_first=True)
    for stack, theirs in zip(stacks(), (model.encoder, model.decoder), strict=True):
        theirs.norm.load_state_dict(stack.norm.state_dict())
        for block, layer in zip(stack.blocks, theirs.layers, strict=True):
            copy(block, layer)
    later = nn.Transformer.generate_square_subsequent_mask(T)
    return step(lambda source, target: model(source, target, tgt_mask=later, tgt_is_causal=True), B, S, T)


@torch.no_grad()
def copy(block, layer):
    """The weights of our block into PyTorch's layer."""
    attentions = [(block.self_attention, layer.self_attn)]
    residuals = [(block.self_residual, layer.norm1)]
    if hasattr(block, "cross_attention"):
        attentions.append((block.cross_attention, layer.multihead_attn))
        residuals += [(block.cross_residual, layer.norm2), (block.feed_forward_residual, layer.norm3)]
    else:
        residuals.append((block.feed_forward_residual, layer.norm2))
    for ours, theirs in attentions:
        parts = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    for ours, theirs in residuals:
        theirs.load_state_dict(ours.norm.state_dict())
    layer.linear1.load_state_dict(block.feed_forward[0].state_dict())
    layer.linear2.load_state_dict(block.feed_forward[-1].state_dict())


def step(forward, B, S, T):
    """Forwards and backwards; returns a number that depends on all outputs."""
    generator = torch.Generator().manual_seed(1)
    source, target, direction = (
        torch.randn(B, n, ARCHITECTURE.d_model, generator=generator, requires_grad=True) for n in (S, T, T)
    )

    def once():
        total = (forward(source, target) * direction).sum()
        total.backward()
        return total.item()

    return once


def heads(B, T):
    torch.manual_seed(0)
    return [torch.randn(B, 4, T, 32, requires_grad=True) for _ in range(3)]


def written_out(B, T):
    q, k, v = heads(B, T)
    return lambda: backward(attention(q, k, v, causal=True)[0])


def fused(B, T):
    q, k, v = heads(B, T)
    return lambda: backward(fused_attention(q, k, v, causal=True))


def backward(output):
    total = output.square().sum()
    total.backward()
    return total.item()


def muon(optimizer, **options):
    """A step for the matrices of lesson 04's model; returns how far they moved."""
    parameters = [p for stack in stacks() for p in stack.parameters() if p.ndim == 2]
    before = [p.detach().clone() for p in parameters]
    for p in parameters:
        p.grad = torch.randn_like(p)
    optimizer = optimizer(parameters, lr=0.02, **options)

    def once():
        optimizer.step()
        return sum((p - b).abs().sum().item() for p, b in zip(parameters, before, strict=True))

    return once


def own_muon():
    return muon(Muon)


def torchs_muon():
    return muon(torch.optim.Muon, weight_decay=0.0)


def main(repeats: int) -> None:
    pairs = [
        (f"Transformer, batch {B}, {S} → {T} tokens", own, torchs, (B, S, T)) for B, S, T in ((256, 9, 8), (16, 64, 64))
    ]
    pairs += [
        (f"attention, batch {B}, {T} tokens", written_out, fused, (B, T)) for B, T in ((256, 9), (16, 64), (4, 512))
    ]
    pairs += [("Muon, one step", own_muon, torchs_muon, ())]
    compare(
        pairs, repeats, ("course_lib, or written out", "PyTorch, or fused"), tolerance=0.02
    )  # its Muon has bfloat16


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
