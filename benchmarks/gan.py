"""Training a GAN against the plain loop of tutorials, in real images a second.

    python benchmarks/gan.py [repeats] [steps]

Both train the same networks (lesson 07's, told the class) with the same losses, optimiser and batch size on the digits.
The plain loop, like PyTorch's DCGAN tutorial: a DataLoader with two workers (over images scaled beforehand, which is
kind to it), float32, one pass of the discriminator for real images and one for fakes, gradients of all its weights in
the generator's step too, both losses read at every step. Each measurement is a process of its own, turn by turn; all
cores, or the GPU if there is one. The first steps warm up and are not timed.
"""

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat

import torch
from harness import spread
from tabulate import tabulate
from torch.utils.data import DataLoader, TensorDataset

from course_lib import data
from course_lib.batches import ImageBatches
from course_lib.data.images import scaled
from course_lib.device import choose, describe, image_format
from course_lib.gan import AdversarialStep, Discriminator, Generator
from course_lib.gan.losses import discriminator_loss, generator_loss

WARM_UP = 20
N_LATENT, BATCH, RATE, BETAS = 64, 32, 0.002, (0.0, 0.99)


def digits():
    split = data.load("digits")
    return split.train + split.validation


def networks(n_classes: int):
    torch.manual_seed(0)
    return Generator(N_LATENT, 1, 28, n_classes=n_classes), Discriminator(1, 28, n_classes=n_classes)


def plain(n_steps: int) -> dict:
    device, images = choose("auto"), digits()
    G, D = (network.to(device) for network in networks(len(images.classes)))
    of_G, of_D = (torch.optim.Adam(network.parameters(), RATE, BETAS) for network in (G, D))
    dataset = TensorDataset(scaled(images.pixels), images.labels)
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)
    losses = []
    for i, (real, labels) in enumerate(chain.from_iterable(repeat(loader))):
        if i == WARM_UP:
            start = time.perf_counter()
        if i == WARM_UP + n_steps:
            break
        real, labels = real.to(device), labels.to(device)
        fake = G(torch.randn(len(real), N_LATENT, device=device), labels)
        of_D.zero_grad()
        loss_D = discriminator_loss("hinge", D(real, labels), D(fake.detach(), labels))
        loss_D.backward()
        of_D.step()
        of_G.zero_grad()
        loss_G = generator_loss("hinge", D(fake, labels))
        loss_G.backward()
        of_G.step()
        losses.append((loss_D.item(), loss_G.item()))
    return result(start, n_steps, losses[-1])


def ours(n_steps: int) -> dict:
    device, images = choose("auto"), digits()
    G, D = (n.to(device, memory_format=image_format(device)) for n in networks(len(images.classes)))
    optimizers = [torch.optim.Adam(network.parameters(), RATE, BETAS, fused=True) for network in (G, D)]
    step = AdversarialStep(G, D, *optimizers, ImageBatches(images, BATCH, device))
    for _ in range(WARM_UP):
        losses = step()
    float(losses["generator"])  # a GPU has caught up
    start = time.perf_counter()
    for _ in range(n_steps):
        losses = step()
    return result(start, n_steps, [float(loss) for loss in losses.values()])


def result(start: float, n_steps: int, losses) -> dict:
    seconds = time.perf_counter() - start
    assert all(abs(loss) < 100 for loss in losses), "one of the two has diverged: its speed says nothing"
    return {"images": n_steps * BATCH / seconds}


def main(repeats: int = 3, n_steps: int = 200) -> None:
    rows, spawn = [], multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for i in range(repeats):
            a, b = (pool.submit(loop, n_steps).result()["images"] for loop in (ours, plain))
            rows.append({"ours": a, "plain": b, "ratio": a / b})
            print(f"run {i + 1} of {repeats}", file=sys.stderr)
    print(f"{describe()}; {n_steps} steps of {BATCH}")
    heads = ["course_lib, images/s", "plain loop, images/s", "ratio, turn by turn"]
    print(tabulate([[spread(rows, key) for key in ("ours", "plain", "ratio")]], heads))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
