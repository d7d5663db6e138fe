"""Recurrent networks, step by step, with the parameters of PyTorch's own layers; and a language model of either."""

import math

import torch
from torch import Tensor, nn

from course_lib.neural.language_model import NeuralLanguageModel
from course_lib.sizes import require_sizes


class _Recurrent(nn.Module):
    """Parameters named, shaped and initialised as in `torch.nn.RNN` and `torch.nn.LSTM` with one layer and
    batch_first=True, so that weights can be copied either way with `load_state_dict`. n_gates blocks of d_hidden rows.
    """

    batch_first = True

    def __init__(self, d_input: int, d_hidden: int, n_gates: int):
        super().__init__()
        require_sizes(d_input=d_input, d_hidden=d_hidden)
        self.input_size, self.hidden_size = d_input, d_hidden
        rows, bound = n_gates * d_hidden, 1 / math.sqrt(d_hidden)
        for name, shape in {
            "weight_ih_l0": (rows, d_input),
            "weight_hh_l0": (rows, d_hidden),
            "bias_ih_l0": (rows,),
            "bias_hh_l0": (rows,),
        }.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def _from_inputs(self, x: Tensor) -> Tensor:
        """What the inputs contribute, for all steps in one product: (B, T, d_input) → (B, T, rows)."""
        return x @ self.weight_ih_l0.T + self.bias_ih_l0 + self.bias_hh_l0

    def _zeros(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), self.hidden_size)


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t−1) + b_hh) (Elman 1990): `torch.nn.RNN`, written out."""

    def __init__(self, d_input: int, d_hidden: int):
        super().__init__(d_input, d_hidden, n_gates=1)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, d_input) and h (1, B, d_hidden), or None for zeros → every h (B, T, d_hidden), and the last."""
        h, steps = self._zeros(x) if state is None else state[0], []
        for from_input in self._from_inputs(x).unbind(1):
            h = torch.tanh(from_input + h @ self.weight_hh_l0.T)
            steps.append(h)
        return torch.stack(steps, 1), h[None]


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
    `torch.nn.LSTM`, written out.

    i, f, o = sigmoid(…), g = tanh(…), each of W_ih x_t + b_ih + W_hh h_(t−1) + b_hh; c_t = f · c_(t−1) + i · g;
    h_t = o · tanh(c_t). The rows of the parameters hold i, f, g, o in this order.
    """

    def __init__(self, d_input: int, d_hidden: int):
        super().__init__(d_input, d_hidden, n_gates=4)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (B, T, d_input) and (h, c), each (1, B, d_hidden), or None for zeros → h of every step (B, T, d_hidden),
        and the last (h, c)."""
        h, c = (self._zeros(x), self._zeros(x)) if state is None else (state[0][0], state[1][0])
        steps = []
        for from_input in self._from_inputs(x).unbind(1):
            i, f, g, o = (from_input + h @ self.weight_hh_l0.T).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            steps.append(h)
        return torch.stack(steps, 1), (h[None], c[None])


def open_forget_gate(lstm: nn.Module, bias: float = 1.0) -> None:
    """Set the bias of every forget gate, so that a new LSTM remembers by default (Gers et al. 2000; Jozefowicz et al.
    2015). For `LSTM` and `torch.nn.LSTM`; others, and one without biases, raise TypeError."""
    biases = {name: p for name, p in lstm.named_parameters() if name.startswith("bias_")}
    if not isinstance(lstm, LSTM | nn.LSTM) or not biases:
        raise TypeError(f"{lstm} has no forget gate with a bias: expected an LSTM")
    with torch.no_grad():
        for name, parameter in biases.items():  # of the two biases that are added, one is set and one cleared
            parameter.chunk(4)[1].fill_(bias if name.startswith("bias_ih") else 0.0)


class RecurrentLanguageModel(NeuralLanguageModel):
    """Embedding → recurrent layer → logits. `layer` is `RNN` or `LSTM` of this file, or PyTorch's own `torch.nn.RNN`,
    `GRU` or `LSTM` with batch_first=True, which compute the same faster. The state is the layer's.
    """

    def __init__(self, vocab_size: int, layer: nn.Module, dropout: float = 0.0):
        super().__init__(vocab_size)
        if not layer.batch_first:
            raise ValueError("the layer reads (T, B, d): make it with batch_first=True")
        if getattr(layer, "bidirectional", False) or getattr(layer, "proj_size", 0):
            raise ValueError("the layer is bidirectional, and would see what it must predict, or has a proj_size")
        self.embedding = nn.Embedding(vocab_size, layer.input_size)
        self.layer = layer
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(layer.hidden_size, vocab_size)

    def start(self, batch_size: int) -> None:
        return None  # the layer's own zeros

    def advance(self, state, ids: Tensor):
        hidden, state = self.layer(self.embedding(ids), state)
        return self.output(self.dropout(hidden)), state

    def select(self, state, rows: Tensor):
        if state is None:
            return None
        parts = [part[:, rows.to(part.device)] for part in (state if isinstance(state, tuple) else (state,))]
        return tuple(parts) if isinstance(state, tuple) else parts[0]
