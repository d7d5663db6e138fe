"""Exercise 7: a critic's loss with gradient penalty. A plane has the same gradient everywhere; a bowl tells where."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checks.case import Case, Suspect, close, passed

NAME = "critic_gradient"


def check_critic_gradient(answer: Callable) -> None:
    """The answer: critic, real and fake (N, C, H, W), t (N,), weight → loss, one gradient for each parameter
    (Gulrajani et al. 2017, equation 3 and algorithm 1)."""
    plane(answer)
    flat_plane(answer)
    place(answer)
    means(answer)
    norm_of_an_image(answer)
    t_of_an_image(answer)
    old_gradients(answer)
    any_critic(answer)
    passed(NAME)


class Plane(nn.Module):
    """Scores (N,): Σ weight · x + bias. The gradient in x is the weight."""

    def __init__(self, weight: Any, bias: float = 0.0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.as_tensor(weight)), nn.Parameter(torch.tensor(bias))

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).flatten(1).sum(1) + self.bias


class Bowl(nn.Module):
    """Scores (N,): a/2 · Σ x². The gradient in x is a · x."""

    def __init__(self, a: float = 1.0):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, images: Tensor) -> Tensor:
        return self.a / 2 * images.square().flatten(1).sum(1)


class Call:
    """One call: the cases and numbers of the loss and of each gradient."""

    def __init__(self, answer: Callable, critic: nn.Module, real: Any, fake: Any, t: Any, weight: float, about: str):
        real, fake, t = (torch.as_tensor(each, dtype=torch.float32) for each in (real, fake, t))
        before = [p.detach().clone() for p in critic.parameters()]
        shown = f"{NAME}(critic, real, fake, t, weight={weight:g}), images {tuple(real.shape)}, {about}"
        self.whole = Case(answer, NAME, critic, real, fake, t, weight, shown=shown)
        self.case, gradients = self.whole.parts("loss", "gradients")
        self.loss = self.case.numbers(hint="The loss is one number.")
        if not isinstance(gradients.value, list | tuple) or len(gradients.value) != len(before):
            gradients.fail(f"The gradients are a list, one for each parameter: {len(before)} here.", gradients.value)
        self.cases = gradients.parts(*(f"gradients[{i}]" for i in range(len(before))))
        hint = "A gradient has the shape of its parameter, in the order of critic.parameters()."
        self.gradients = [case.numbers(*p.shape, hint=hint) for case, p in zip(self.cases, before, strict=True)]
        for p, was in zip(critic.parameters(), before, strict=True):
            otherwise = "The parameters have changed: no step is made here, only the gradient for it."
            self.whole.compare(p.detach().numpy(), was, otherwise, part="a parameter after the call")

    def row(self) -> np.ndarray:
        return np.concatenate([[self.loss], *(each.ravel() for each in self.gradients)])


LOST = "The penalty does not reach the parameters: its gradient in x̂ must be differentiable, `create_graph=True`."
SAME = "The scores of real and fake images are the same here, and "


def plane(answer: Callable) -> None:
    """Scores of 5 and 2, and a slope of 5 everywhere: −5 + 2 + ½ · (5 − 1)²."""
    about = "score = 3 x + 4 y − 5, real (2, 1), fake (1, 1), t = 0.25"
    call = Call(answer, Plane([[[3.0, 4]]], -5.0), [[[[2.0, 1]]]], [[[[1.0, 1]]]], [0.25], 0.5, about)
    pixel = "The norm is that of an image's whole gradient, over all its pixels: √(3² + 4²) = 5."
    suspects: list[Suspect] = [
        (3 + 8, "Real and fake are swapped: the critic wants high scores for real images, −mean(real) + mean(fake)."),
        (-3, "The penalty is missing."),
        (8, "The scores are missing: −mean(real) + mean(fake) + weight · penalty."),
        (3 - 8, "The sign is wrong: this is minus the loss."),
        (-3 - 8, "The penalty is added: it makes the loss larger."),
        (-3 + 12.5, "The penalty is (norm − 1)²; you take norm²."),
        (-3 + 12, "The penalty is (norm − 1)²; you take norm² − 1."),
        (-3 + 288, "The penalty is (norm − 1)²; the norm itself is squared here: take its root."),
        (-3 + 2, "The penalty is (norm − 1)²: square it."),
        (-3 + 18, "The norm is the root of the sum of squares, not the sum of absolute numbers."),
        (-3 + (math.sqrt(12.5) - 1) ** 2 / 2, "The norm is the root of the sum of squares, not of their mean."),
        (-3 + 16, "The weight of the penalty is missing."),
        (-3 + 4, "The weight of the penalty is halved."),
        (-3 + 6.5 / 2, pixel),
        (-3 + 6.5, pixel),
        (-5 + 8, "The scores of the fakes are missing."),
        (2 + 8, "The scores of the real images are missing."),
        (float(np.logaddexp(0, -5) + np.logaddexp(0, 2)) + 8, "These are logistic costs; a critic's scores stand "
         "for themselves."),
    ]  # fmt: skip
    otherwise = "The scores are 5 and 2, the gradient is (3, 4) with norm 5: −5 + 2 + ½ · (5 − 1)² = 5."
    call.case.compare(call.loss, 5, otherwise, suspects)
    of_scores, of_penalty = np.array([[[-1, 0]]]), np.array([[[2.4, 3.2]]])
    suspects = [
        (of_scores, LOST),
        (of_penalty, "The gradient is that of the penalty alone: `backward` on the whole loss."),
        (-of_scores - of_penalty, "The sign is wrong: this points to where the loss shrinks."),
        (-of_scores + of_penalty, "Real and fake are swapped in what has the gradient."),
        (2 * of_scores + 2 * of_penalty, "The gradient is twice too large: one `backward`, on the whole loss."),
        ([[[3 - 1, 4]]], "The gradient of the scores in x̂ got into the parameters' gradients, or the penalty's is "
         "missing."),
        (lambda got: not got.any(), "The gradient is 0: `backward` on the loss, and forget nothing after it."),
    ]  # fmt: skip
    otherwise = "The scores give fake − real = (−1, 0); the penalty gives ½ · 2 (5 − 1) · (3, 4) / 5 = (2.4, 3.2)."
    call.cases[0].compare(call.gradients[0], of_scores + of_penalty, otherwise, suspects)
    otherwise = "The bias adds the same to both scores, and nothing to the slope: its gradient is 0."
    call.cases[1].compare(call.gradients[1], 0, otherwise)


def flat_plane(answer: Callable) -> None:
    about = "score = 0.3 x + 0.4 y, real (2, 1), fake (1, 1), t = 0.25"
    call = Call(answer, Plane([[[0.3, 0.4]]]), [[[[2.0, 1]]]], [[[[1.0, 1]]]], [0.25], 4.0, about)
    one_sided = "A norm below 1 is penalised, too: (norm − 1)², on both sides of 1."
    suspects: list[Suspect] = [(-0.3, one_sided)]
    otherwise = "The scores are 1 and 0.7, the norm is 1/2: −1 + 0.7 + 4 · (½ − 1)² = 0.7."
    call.case.compare(call.loss, 0.7, otherwise, suspects)
    expected = np.array([[[-1 - 2.4, -3.2]]])
    suspects = [([[[-1, 0]]], LOST), ([[[1.4, 3.2]]], "The penalty's gradient has the wrong sign: the norm must grow.")]
    otherwise = "The scores give (−1, 0); the penalty gives 4 · 2 (½ − 1) · (0.3, 0.4) / ½ = (−2.4, −3.2)."
    call.cases[0].compare(call.gradients[0], expected, otherwise, suspects)


def place(answer: Callable) -> None:
    """The slope of x²/2 is x, so the norm tells where it was taken."""
    about = "one pixel x, score = a x²/2 with a = 1, real 4, fake 2, t = 0.25"
    call = Call(answer, Bowl(), [[[[4.0]]]], [[[[2.0]]]], [0.25], 1.0, about)
    suspects: list[Suspect] = [
        (-6 + 2.5**2, "t is the share of the real image: x̂ = t · real + (1 − t) · fake."),
        (-6 + 9, "The penalty is taken at the real image: its place is x̂ = t · real + (1 − t) · fake."),
        (-6 + 1, "The penalty is taken at the fake: its place is x̂ = t · real + (1 − t) · fake."),
        (-6 + 4, "The penalty is taken half-way: its place is x̂ = t · real + (1 − t) · fake, with the given t."),
        (-6 + 5, "The penalty is taken at real and fake images: its place is x̂ between them."),
        (lambda got: -6 + 1 < got < -6 + 9, "The penalty is taken at another place: x̂ follows from the given t."),
    ]
    otherwise = "x̂ = ¼ · 4 + ¾ · 2 = 2.5, and so is the norm: −8 + 2 + (2.5 − 1)² = −3.75."
    call.case.compare(call.loss, -3.75, otherwise, suspects)
    otherwise = "In a: −8 + 2 from the scores, 2 (2.5 − 1) · 2.5 from the penalty."
    call.cases[0].compare(call.gradients[0], 1.5, otherwise, [(-6, LOST)])


def means(answer: Callable) -> None:
    about = "score = x, three images (x, y): real (1, 0), (2, 0), (6, 0), fake (0, 0), (0, 0), (3, 0)"
    real, fake = torch.zeros(2, 3, 1, 1, 2)
    real[..., 0], fake[..., 0] = torch.tensor([[1.0, 2, 6], [0, 0, 3]]).view(2, 3, 1, 1)
    call = Call(answer, Plane([[[1.0, 0]]]), real, fake, [0.25, 0.5, 0.75], 1.0, about)
    whole = "for the gradient in x̂ take the sum of the scores: each image has a norm of its own, here 1."
    suspects: list[Suspect] = [
        (-6, "These are sums of scores; the loss takes their means."),
        (-2 + 4 / 9, "This is the gradient of the mean score, three times too small; " + whole),
        (-2 + (math.sqrt(3) - 1) ** 2, "This is one norm of the whole batch; " + whole),
        (-2 + (1 / math.sqrt(3) - 1) ** 2, "This is one norm of the whole batch; " + whole),
    ]
    call.case.compare(call.loss, -2, "−(1 + 2 + 6) / 3 + (0 + 0 + 3) / 3, and each norm is 1: −2.", suspects)
    call.cases[0].compare(call.gradients[0], [[[-2, 0]]], "−3 + 1 from the scores, and nothing from the penalty.")
    same = torch.tensor([2.0, 4, 3]).view(3, 1, 1, 1)
    about = "score = a x²/2 with a = 1, real = fake = 2, 4, 3"
    call = Call(answer, Bowl(), same, same, [0.25, 0.5, 0.75], 3.0, about)
    suspects = [
        (3 * 14, "This is the sum of the penalties; take their mean."),
        (3 * 4, "The norms are averaged first: take the mean of (norm − 1)²."),
        (3 * (math.sqrt(29) - 1) ** 2, SAME + "this is one norm of the whole batch; each image has its own."),
        (3 * 2 / 27, SAME + "this is the gradient of the mean score; take their sum: each image has its own norm."),
        (3, "Only the first image is penalised."),
    ]
    call.case.compare(call.loss, 14, "The norms are 2, 4, 3: 3 · (1 + 9 + 4) / 3.", suspects)
    otherwise = "The mean of 2 (norm − 1) · norm, three times: 4 + 24 + 12."
    call.cases[0].compare(call.gradients[0], 40, otherwise, [(0, LOST)])


def norm_of_an_image(answer: Callable) -> None:
    """24 pixels, in each of which the slope is 1."""
    images = torch.zeros(5, 2, 3, 4)
    call = Call(answer, Plane(torch.ones(2, 3, 4)), images, images, torch.full((5,), 0.5), 1.0, "score = sum of pixels")
    whole = "the norm is that of an image's whole gradient, over channels, rows and columns: √24."
    suspects: list[Suspect] = [
        ((math.sqrt(n) - 1) ** 2, f"This is the norm over {what} alone; {whole}")
        for n, what in ((2, "channels"), (3, "rows"), (4, "columns"), (12, "the pixels of a channel"), (5, "the batch"))
    ]
    suspects += [(0, f"The norm of each pixel is 1; {whole}")]
    suspects += [(count * (math.sqrt(n) - 1) ** 2, f"Norms of parts of an image are added up; {whole}")
                 for n, count in ((2, 12), (12, 2), (3, 8), (4, 6))]  # fmt: skip
    otherwise = f"Each image has 24 slopes of 1; {whole}"
    call.case.compare(call.loss, (math.sqrt(24) - 1) ** 2, otherwise, suspects)


def t_of_an_image(answer: Callable) -> None:
    """As many images as columns: a t that belongs to columns has the right shape, too."""
    real = torch.tensor([[3.0, 4], [6, 8]]).view(2, 1, 1, 2)
    about = "score = a Σ x²/2 with a = 1, real (3, 4) and (6, 8), fake twice that, t = 0 and 1"
    call = Call(answer, Bowl(), real, 2 * real, [0.0, 1], 1.0, about)
    columns = ((math.sqrt(52) - 1) ** 2 + (math.sqrt(208) - 1) ** 2) / 2
    suspects: list[Suspect] = [
        (93.75 + columns, "t goes along the columns; image n has t[n] in all its pixels: `t.view(-1, 1, 1, 1)`."),
    ]
    otherwise = "x̂ is fake 0 and real 1, both (6, 8) with norm 10: −31.25 + 125 + 9²."
    call.case.compare(call.loss, 93.75 + 81, otherwise, suspects)


def old_gradients(answer: Callable) -> None:
    critic = Plane([[[3.0, 4]]])
    critic.weight.grad, critic.bias.grad = torch.full((1, 1, 2), 10.0), torch.tensor(10.0)
    about = "score = 3 x + 4 y, real (2, 1), fake (1, 1), gradients of 10 left from an earlier step"
    call = Call(answer, critic, [[[[2.0, 1]]]], [[[[1.0, 1]]]], [0.25], 0.5, about)
    stale = "Gradients of an earlier step are still there: forget them first."
    call.cases[0].compare(call.gradients[0], [[[1.4, 3.2]]], stale)
    call.cases[1].compare(call.gradients[1], 0, stale)


def any_network() -> nn.Module:
    random = torch.Generator().manual_seed(10)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0))
    for p in critic.parameters():
        p.data = torch.randn(p.shape, generator=random) / 2
    return critic


def any_critic(answer: Callable) -> None:
    """What must hold for any critic: images by themselves, the weight, and a short step downhill."""
    random = torch.Generator().manual_seed(11)
    real, fake, t = *torch.randn(2, 3, 2, 3, 4, generator=random), torch.rand(3, generator=random)
    whole = Call(answer, any_network(), real, fake, t, 2.0, about := "3 images (2, 3, 4), a critic of four parameters")
    alone = [Call(answer, any_network(), real[[n]], fake[[n]], t[[n]], 2.0, f"image {n} of 3").row() for n in range(3)]
    if not close(whole.row(), np.mean(alone, 0)):
        otherwise = "Loss and gradients are not the means of those that each image has alone."
        whole.case.fail(otherwise, whole.row()[:5], np.mean(alone, 0)[:5], "the loss, and the first four gradients")
    none, four = (Call(answer, any_network(), real, fake, t, weight, about).row() for weight in (0.0, 4.0))
    if not close(four - none, 2 * (whole.row() - none)):
        otherwise = "The penalty must grow with its weight, in the loss and in the gradients."
        whole.case.fail(otherwise, (four - none)[:5], 2 * (whole.row() - none)[:5], "weight 4 less weight 0")
    lr, critic = 1e-3 / (whole.row()[1:] ** 2).sum(), any_network()
    for p, gradient in zip(critic.parameters(), whole.gradients, strict=True):
        p.data -= lr * torch.tensor(gradient, dtype=torch.float32)
    after = Call(answer, critic, real, fake, t, 2.0, about + ", after a short step")
    if not 0.95e-3 < whole.loss - after.loss < 1.05e-3:
        otherwise = "The gradients do not belong to the loss: a short step along them must make it smaller."
        whole.case.fail(otherwise, whole.loss - after.loss, 1e-3, "by how much a short step makes the loss smaller")
