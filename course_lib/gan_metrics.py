"""How far generated images are from real ones, by features of both: no single image is judged, the two crowds are.

Features are (N, d), one row per image, from a network that knows such images (`course_lib.feature_network`).
Distances from other features, another N or another network are other numbers: never compare across them. (Published
FID and KID take features of a network trained on ImageNet.)
"""

import torch
from torch import Tensor


def frechet(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance of two normal distributions with the means and covariances of two sets of features:
    |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) (Dowson and Landau 1982; on features of images Heusel et al. 2017).

    Raises ValueError for sets with n ≤ d: their covariance has no full rank, and the distance would be of no use.
    """
    a, b = _checked(a, b)
    for name, x in (("first", a), ("second", b)):
        if len(x) <= x.shape[1]:
            raise ValueError(
                f"the {name} set has {len(x)} rows of {x.shape[1]} features: a covariance needs more rows than "
                f"features; take {x.shape[1] + 1} images or more"
            )
    cov_a, cov_b = (torch.atleast_2d(torch.cov(x.T)) for x in (a, b))  # of one feature torch.cov is a number
    # (Σ_a Σ_b)^½ has the trace of (S Σ_b S)^½ with S = Σ_a^½, and that matrix is symmetric: eigenvalues are enough.
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return distance.item()


def kid(a: Tensor, b: Tensor) -> float:
    """Kernel inception distance: the squared maximum mean discrepancy under k(x, y) = (x·y / d + 1)³, without bias
    (Bińkowski et al. 2018, sections 2.1 and 4). Around 0 for two sets of one kind, and also below.
    """
    a, b = _checked(a, b)
    if min(len(a), len(b)) < 2:
        raise ValueError(f"sets of {len(a)} and {len(b)} images: expected 2 or more in each")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def of_pairs(x: Tensor) -> Tensor:  # of two different images
        k = kernel(x, x)
        return (k.sum() - k.trace()) / (len(x) * (len(x) - 1))

    return (of_pairs(a) + of_pairs(b) - 2 * kernel(a, b).mean()).item()


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> tuple[float, float]:
    """The share of generated images within reach of a real one, and the share of real images within reach of a
    generated one; the reach of an image is the distance to its k-th neighbour in its own set (Kynkäänniemi et al.
    2019, equations 1 and 2). High precision: images look real. High recall: all kinds are there.
    """
    real, generated = _checked(real, generated)
    if not 1 <= k < min(len(real), len(generated)):
        raise ValueError(
            f"k is {k} with {len(real)} real and {len(generated)} generated images: expected 1 or more, and fewer than "
            "images in either set"
        )
    between = _distances(generated, real)

    def reach(x: Tensor) -> Tensor:  # the nearest of its own set is the image itself
        return _distances(x, x).kthvalue(k + 1).values

    precision = (between <= reach(real)).any(1).double().mean().item()
    return precision, (between.T <= reach(generated)).any(1).double().mean().item()


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """As float64 on the CPU: a covariance is a small difference of large numbers."""
    tables = all(x.ndim == 2 and len(x) and x.is_floating_point() for x in (a, b))
    if not tables or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"features have shapes {tuple(a.shape)} and {tuple(b.shape)} and types {a.dtype} and {b.dtype}: "
            "expected floating point (N, d) and (M, d), a row for each image"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a feature is NaN or infinite: the network or its images are broken")
    return a.detach().cpu().double(), b.detach().cpu().double()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Each row of a to each row of b; not by way of a product, which would lose the small ones."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
