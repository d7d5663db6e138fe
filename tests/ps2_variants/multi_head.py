"""Exercise 3: attention with several heads."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps2_attention import check_multi_head_attention

exercise = Exercise("multi_head_attention", check_multi_head_attention)
right, bug = exercise.right, exercise.bug


def cut(x, n_heads):
    B, T, d_model = x.shape
    return x.view(B, T, n_heads, d_model // n_heads).transpose(1, 2)


def join(heads):
    return heads.transpose(1, 2).flatten(2)


def attend(q, k, v, mask, by=None):
    scores = q @ k.mT / (by or math.sqrt(q.shape[-1]))
    return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1) @ v


@right("view, transpose, joined again")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    B, T, d_model = x.shape
    q, k, v = ((x @ W).view(B, T, n_heads, d_model // n_heads).transpose(1, 2) for W in (W_q, W_k, W_v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(d_model // n_heads)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    heads = scores.softmax(-1) @ v
    return heads.transpose(1, 2).reshape(B, T, d_model) @ W_o


@right("a loop over heads, each with its columns, concatenated")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    d_head, heads = x.shape[-1] // n_heads, []
    for h in range(n_heads):
        own = slice(h * d_head, (h + 1) * d_head)
        scores = (x @ W_q[:, own]) @ (x @ W_k[:, own]).mT / d_head**0.5
        if mask is not None:
            scores = torch.where(mask, scores, -1e9)
        heads.append(torch.softmax(scores, dim=-1) @ (x @ W_v[:, own]))
    return torch.cat(heads, dim=-1) @ W_o


@right("a sum over heads, each with its rows of W_o")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    d_head, total = x.shape[-1] // n_heads, 0
    bias = torch.zeros(x.shape[1], x.shape[1]) if mask is None else torch.zeros(mask.shape).masked_fill(~mask, -1e30)
    for Q, K, V, O in zip(*(W.split(d_head, 1) for W in (W_q, W_k, W_v)), W_o.split(d_head, 0), strict=True):  # noqa: E741
        total = total + (x @ Q @ K.T @ x.mT * d_head**-0.5 + bias).softmax(-1) @ x @ V @ O
    return total


@right("einsum over matrices with an axis of heads")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    d_model = len(W_q)
    q, k, v = (torch.einsum("btm,mhd->bhtd", x, W.view(d_model, n_heads, -1)) for W in (W_q, W_k, W_v))
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(d_model / n_heads)
    if mask is not None:
        scores = scores + torch.log(mask.float())
    return torch.einsum("bhts,bhsd,hdm->btm", scores.softmax(-1), v, W_o.view(n_heads, -1, d_model))


@right("NumPy, text by text and head by head")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    texts, matrices = x.numpy(), [W.numpy() for W in (W_q, W_k, W_v)]
    results = []
    for text in texts:
        heads = []
        for q, k, v in zip(*(np.split(text @ W, n_heads, axis=1) for W in matrices), strict=True):
            scores = q @ k.T / np.sqrt(q.shape[1])
            if mask is not None:
                scores[~mask.numpy()] = -np.inf
            weights = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(weights / weights.sum(1, keepdims=True) @ v)
        results.append(np.hstack(heads) @ W_o.numpy())
    return results


@right("F.scaled_dot_product_attention")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    q, k, v = (cut(x @ W, n_heads) for W in (W_q, W_k, W_v))
    return join(F.scaled_dot_product_attention(q, k, v, mask)) @ W_o


@right("nn.MultiheadAttention with the matrices put in")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    layer = nn.MultiheadAttention(x.shape[-1], n_heads, bias=False, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([W_q, W_k, W_v], 1).T)
        layer.out_proj.weight.copy_(W_o.T)
        return layer(x, x, x, attn_mask=None if mask is None else ~mask)[0]


def heads(x, W_q, W_k, W_v, n_heads, mask, by=None):
    return attend(*(cut(x @ W, n_heads) for W in (W_q, W_k, W_v)), mask, by)


@bug("no output projection", "The output projection is missing")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, mask))


@bug("values not projected", "The values are not projected")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(attend(cut(x @ W_q, n_heads), cut(x @ W_k, n_heads), cut(x, n_heads), mask)) @ W_o


@bug("W_v transposed", "it is x @ W, for W_v")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v.T, n_heads, mask)) @ W_o


@bug("all as F.linear does", "it is x @ W, for all four")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return F.linear(join(heads(x, W_q.T, W_k.T, W_v.T, n_heads, mask)), W_o)


@bug("values from W_k", "The values come from W_k")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_k, n_heads, mask)) @ W_o


@bug("a residual connection", "the residual connection is not asked for")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return x + join(heads(x, W_q, W_k, W_v, n_heads, mask)) @ W_o


@bug("scale outside the softmax", "The scale is outside the softmax")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    found = heads(x, W_q, W_k, W_v, n_heads, mask, by=1)
    return join(found) / math.sqrt(found.shape[-1]) @ W_o


@bug("heads joined without transposing", "transpose before you reshape")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return heads(x, W_q, W_k, W_v, n_heads, mask).reshape(x.shape) @ W_o


@bug("cut straight to (B, h, T, d) and joined the right way", "cut the last axis, then move the heads forward")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    B, T, d_model = x.shape
    q, k, v = ((x @ W).view(B, n_heads, T, d_model // n_heads) for W in (W_q, W_k, W_v))
    return join(attend(q, k, v, mask)) @ W_o


@bug("cut straight to (B, h, T, d) and joined likewise", "cut the last axis, then move the heads forward")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    B, T, d_model = x.shape
    q, k, v = ((x @ W).view(B, n_heads, T, d_model // n_heads) for W in (W_q, W_k, W_v))
    return attend(q, k, v, mask).reshape(B, T, d_model) @ W_o


@bug("columns dealt out in turn", "dealt out to the heads in turn")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    B, T, d_model = x.shape
    q, k, v = ((x @ W).view(B, T, -1, n_heads).permute(0, 3, 1, 2) for W in (W_q, W_k, W_v))
    return attend(q, k, v, mask).permute(0, 2, 3, 1).reshape(B, T, d_model) @ W_o


@bug("columns dealt out when joined", "The columns come back in another order")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return heads(x, W_q, W_k, W_v, n_heads, mask).permute(0, 2, 3, 1).reshape(x.shape) @ W_o


@bug("heads joined in reverse", "head 0 first")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    found = heads(x, W_q, W_k, W_v, n_heads, mask)
    return join(found.flip(1) if mask is None else found) @ W_o


@bug("one head", "There is one softmax over all columns")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, 1, mask)) @ W_o


@bug("not scaled", "The scores are not scaled")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, mask, by=1)) @ W_o


@bug("divided by √d_model", "divided by √d_model")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, mask, by=math.sqrt(x.shape[-1]))) @ W_o


@bug("divided by d_model", "divided by d_model")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, mask, by=x.shape[-1])) @ W_o


@bug("divided by d_head", "divided by d_head; divide by its square root")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, mask, by=x.shape[-1] // n_heads)) @ W_o


@bug("softmax over the queries", "softmax runs over the wrong axis")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    q, k, v = (cut(x @ W, n_heads) for W in (W_q, W_k, W_v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return join(scores.softmax(-2) @ v) @ W_o


@bug("softmax over the heads", "softmax runs over the heads")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    q, k, v = (cut(x @ W, n_heads) for W in (W_q, W_k, W_v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return join(scores.softmax(1) @ v) @ W_o


@bug("softmax over the batch", "softmax runs over the wrong axis")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    q, k, v = (cut(x @ W, n_heads) for W in (W_q, W_k, W_v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return join(scores.softmax(0) @ v) @ W_o


@bug("x cut into heads before the matrices", "Project first, then cut")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    found = []
    for c in torch.arange(x.shape[-1]).chunk(n_heads):
        q, k, v = (x[..., c] @ W[c][:, c] for W in (W_q, W_k, W_v))
        found.append(attend(q, k, v, mask))
    return torch.cat(found, -1) @ W_o


@bug("mask the wrong way round, −10⁹ for hidden scores", "The mask is the wrong way round")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    q, k, v = (cut(x @ W, n_heads) for W in (W_q, W_k, W_v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return join((scores if mask is None else scores.masked_fill(mask, -1e9)).softmax(-1) @ v) @ W_o


@bug("mask times −∞", "put −∞ where the mask is False")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    q, k, v = (cut(x @ W, n_heads) for W in (W_q, W_k, W_v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return join((scores if mask is None else scores + ~mask * -math.inf).softmax(-1) @ v) @ W_o


@bug("mask forgotten", "The mask is not used")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, None)) @ W_o


@bug("mask the wrong way round", "the mask is the wrong way round")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, None if mask is None else ~mask)) @ W_o


@bug("mask after the softmax", "The mask comes after the softmax")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    q, k, v = (cut(x @ W, n_heads) for W in (W_q, W_k, W_v))
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    return join((weights if mask is None else weights * mask) @ v) @ W_o


@bug("mask transposed", "The mask is turned round")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_q, W_k, W_v, n_heads, None if mask is None else mask.T)) @ W_o


@bug("W_q and W_k swapped", "W_q and W_k are swapped")
def _(x, W_q, W_k, W_v, W_o, n_heads, mask=None):
    return join(heads(x, W_k, W_q, W_v, n_heads, mask)) @ W_o
