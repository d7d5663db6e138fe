"""Root mean square normalisation."""

from torch import Tensor, nn
from torch.nn import functional as F


class RMSNorm(nn.RMSNorm):
    """x / √(mean of x² + ε), times a learned gain (Zhang and Sennrich 2019, equation 4): PyTorch's, with the gain cast
    to the numbers of x. Under autocast x may have 16 bits and the gain 32; PyTorch then warns and takes its slow way.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)
