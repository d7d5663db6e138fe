"""Training batches of a running text: blocks that start at random places."""

import numpy as np
import torch
from torch import Tensor

from course_lib.sizes import require_sizes


class Blocks:
    """Blocks of `length` tokens of a text of ids (N,), each with the tokens that follow: what language models train on.

    Every call draws `batch_size` starting places from PyTorch's global generator, all equally likely, and gathers the
    blocks on `device` at once, without a Python loop.
    Raises ValueError for a length or batch size below 1, and for a text too short for one block and its next token.
    """

    def __init__(self, ids: np.ndarray | Tensor, length: int, batch_size: int, device: torch.device | str = "cpu"):
        require_sizes(length=length, batch_size=batch_size)
        ids = torch.as_tensor(ids, device=device)
        if ids.ndim != 1 or ids.is_floating_point():
            raise ValueError(
                f"ids have shape {tuple(ids.shape)} and type {ids.dtype}: expected one row of whole numbers"
            )
        if len(ids) <= length:
            raise ValueError(
                f"the text has {len(ids)} tokens: a block of length {length} and the token after it need "
                f"{length + 1}; take a longer text or a length of {max(len(ids) - 1, 0)} or less"
            )
        self.ids, self.batch_size = ids.long(), batch_size
        self.offsets = torch.arange(length + 1, device=device)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """ids (B, T) and targets (B, T), the token after each."""
        starts = torch.randint(len(self.ids) - len(self.offsets) + 1, (self.batch_size, 1)).to(self.ids.device)
        blocks = self.ids[starts + self.offsets]
        return blocks[:, :-1], blocks[:, 1:]
