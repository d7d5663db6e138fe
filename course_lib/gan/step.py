"""One step of adversarial training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from course_lib.device import autocast
from course_lib.gan.ema import EMA
from course_lib.gan.losses import discriminator_loss, generator_loss, r1_penalty, require_loss
from course_lib.training import TrainingDiverged
from course_lib.training.gradient import settings_of

CHECK_EVERY = 200  # steps between two looks at how much the fakes of a batch differ
LEAST = 0.02  # of what the real ones do


class GeneratorCollapsed(TrainingDiverged):
    """The generator draws one and the same image, whatever it starts from."""


class AdversarialStep:
    """An update for `train`: the discriminator learns to tell a batch of real images from fakes, then the generator
    learns to make it take the same fakes for real.

    batch: draws real images (N, C, H, W), −1 … 1, and their labels (N,).
    loss:  "hinge", "non_saturating" or "saturating" (`course_lib.gan.losses`).
    r1:    weight γ of the gradient penalty (γ/2) · R1; 0: none.
    decay: of `average`, the average of the generator (`EMA`) that is to draw in the end.

    The fakes are made once: the discriminator's own step sees them detached, so that no gradient reaches the
    generator; the generator's step sees them with their graph, judged by the discriminator as it is by then.
    discriminator(images, labels) → scores (N,) must be without batch normalisation, since real images and fakes go
    through it as one batch. A call raises GeneratorCollapsed where, at a look every 200 steps, the images of a batch
    hardly differ any more.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        generator_optimizer: torch.optim.Optimizer,
        discriminator_optimizer: torch.optim.Optimizer,
        batch: Callable[[], tuple[Tensor, Tensor]],
        loss: str = "hinge",
        r1: float = 0.0,
        decay: float = 0.999,
    ):
        require_loss(loss)
        if not r1 >= 0:
            raise ValueError(f"r1 is {r1}: expected 0 (no penalty) or more")
        self.generator, self.discriminator, self.average = generator, discriminator, EMA(generator, decay)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.batch, self.loss, self.r1 = batch, loss, r1
        self.settings = "\n".join(self._settings())

    def __call__(self) -> dict[str, Tensor]:
        """The losses that both learn from, penalty aside."""
        self.generator.train()
        self.discriminator.train()
        real, labels = self.batch()
        z = torch.randn(len(real), self.generator.n_latent, device=real.device)
        with autocast(real.device):
            fake = self.generator(z, labels)
        of_discriminator = self._teach_discriminator(real, fake.detach(), labels)
        of_generator = self._teach_generator(fake, labels)
        self.average.update(self.generator)
        if self.average.steps % CHECK_EVERY == 0:
            self._require_variety(real, fake)
        return {"discriminator": of_discriminator, "generator": of_generator}

    def _teach_discriminator(self, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
        with autocast(real.device):
            scores = self.discriminator(torch.cat([real, fake]), torch.cat([labels, labels]))
        loss = discriminator_loss(self.loss, *scores.float().chunk(2))
        penalty = self.r1 / 2 * r1_penalty(self.discriminator, real, labels) if self.r1 else 0
        self.discriminator_optimizer.zero_grad()
        (loss + penalty).backward()
        self.discriminator_optimizer.step()
        return loss.detach()

    def _teach_generator(self, fake: Tensor, labels: Tensor) -> Tensor:
        with _fixed(self.discriminator), autocast(fake.device):
            loss = generator_loss(self.loss, self.discriminator(fake, labels).float())
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        return loss.detach()

    def _require_variety(self, real: Tensor, fake: Tensor) -> None:
        variety = (fake.detach().float().std(0).mean() / real.std(0).mean()).item()
        if variety < LEAST:
            raise GeneratorCollapsed(
                f"after {self.average.steps} steps the images of a batch differ by {variety:.2%} of what real ones do: "
                "the generator has collapsed; a lower learning rate, spectral normalisation or r1 > 0 often helps"
            )

    def state_dict(self) -> dict:
        """All that a step changes."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def _settings(self) -> Iterator[str]:
        yield repr(self.generator)
        yield repr(self.discriminator)
        yield from settings_of(self.generator_optimizer)
        yield from settings_of(self.discriminator_optimizer)
        yield f"batch size: {getattr(self.batch, 'batch_size', None)}"
        yield f"loss: {self.loss}, r1: {self.r1}, decay: {self.average.decay}"


@contextmanager
def _fixed(network: nn.Module) -> Iterator[None]:
    """Within the block no gradients of the network's own weights are noted: they would be computed for nothing."""
    weights = [p for p in network.parameters() if p.requires_grad]
    for p in weights:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in weights:
            p.requires_grad_(True)
