"""Make the recorded runs of a lesson that data/recorded/ does not hold yet, one after the other.

    python benchmarks/recorded_runs.py 05_transformer_lm|07_gan [beginning of a name ...]

Delete a file there to have it made again. `ten_minutes…` and `six_minutes…` want a machine with nothing else to do:
their times are shown. `gpu…` wants a GPU. The GANs' were made with one thread each (OMP_NUM_THREADS=1), two at a time.
All want a clean working tree, so that the commit they are kept with is the code that ran.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from course_lib import data
from course_lib.batch.plan import plan
from course_lib.batch.run import new_folder, run
from course_lib.lm import evaluate
from course_lib.ngram import NGram, count_ngrams
from course_lib.recorded import FOLDER, Run, commit, keep
from course_lib.vocab import Characters

SEEDS = range(3)

# Lesson 05
# So little text is read six times over and would be learned by heart. (Tried with seed 0 and 1,500 steps, in nats per
# character: dropout 0.15 1.470, 0.2 1.481; dropout 0.1 with weight decay 0.3 1.469; these here, 1,600 steps, 1.443.)
TINY = {"text": "tiny_shakespeare", "dropout": 0.1, "shared_dropout": True, "weight_decay": 0.15, "n_steps": 1600}
# What each modern choice buys: the same small run with one of them taken back at a time, and with all of them; then
# again at four times the length with those that mattered.
SMALL = {"n_layers": 2, "n_steps": 400, "evaluate_every": 400}
LONG = {"n_steps": 1600, "evaluate_every": 1600}
ADAMW = {"optimizer": "adamw", "learning_rate": 0.015, "weight_decay": 0.1}  # the best of 5 rates
TEXTBOOK = {"learning_rate": 0.004}  # the best of 4
CHOICES = {
    "modern": {},
    "learned_positions": {"positions": "learned"},
    "layer_norm": {"normalisation": "layer"},
    "no_qk_norm": {"qk_norm": False},
    "gelu": {"activation": "gelu"},
    "pytorch_init": {"init": "pytorch"},
    "no_token_shift": {"token_shift": False},
    "biases": {"bias": True},
    "tied": {"tied": True},
    "adamw": ADAMW,
    "adamw_cosine": ADAMW | {"decay": "cosine", "final": 0.1, "warm_up": 0.05},
}
# GPT-2's architecture, with the modern way of training.
TEXTBOOK_MUON = {"optimizer": "muon", "learning_rate": 0.05, "weight_decay": 0.0, "decay": "linear", "final": 0.0}


def language_models() -> dict[str, tuple[str, dict]]:
    """Each run's profile and parameters, by name."""
    runs = {}
    for seed in SEEDS:
        runs[f"ten_minutes-shakespeare-{seed}"] = ("ten_minutes", {"seed": seed})
        runs[f"ten_minutes-tiny_shakespeare-{seed}"] = ("ten_minutes", TINY | {"seed": seed})
        runs[f"six_minutes-tiny_shakespeare-{seed}"] = ("ten_minutes", TINY | {"n_steps": 850, "seed": seed})
        for name, taken_back in CHOICES.items():
            runs[f"choice-{name}-{seed}"] = ("cpu", SMALL | taken_back | {"seed": seed})
        runs[f"choice-textbook-{seed}"] = ("textbook", SMALL | TEXTBOOK | {"seed": seed})
        runs[f"choice-textbook_muon-{seed}"] = ("textbook", SMALL | TEXTBOOK_MUON | {"warm_up": 0.02, "seed": seed})
        for name in ("modern", "adamw", "learned_positions"):
            runs[f"long-{name}-{seed}"] = ("cpu", SMALL | LONG | CHOICES[name] | {"seed": seed})
        runs[f"long-textbook-{seed}"] = ("textbook", SMALL | LONG | TEXTBOOK | {"seed": seed})
        for tokens in ("characters", "bpe"):
            runs[f"tokens-{tokens}-{seed}"] = ("cpu", {"tokens": tokens, "seed": seed})
    return runs | {"gpu-shakespeare-0": ("gpu", {}), "gpu-tiny_shakespeare-0": ("gpu", {"text": "tiny_shakespeare"})}


# Lesson 07: its recipe, and one thing changed at a time. Transformers are not told the class.
UNCONDITIONAL = {"by_class": False}
R1 = {"loss": "non_saturating", "spectral": False, "r1": 1.0, "generator_rate": 0.001, "discriminator_rate": 0.001}
PATCH_GENERATOR = {"generator_kind": "patches", "generator_rate": 0.001, "discriminator_rate": 0.001}
# Under the recipe's loss the generator collapses against it at every rate tried (0.0002 to 0.001); under this one it
# does with seed 1, and the run stops. A run takes ten minutes.
PATCH_DISCRIMINATOR = R1 | {"discriminator_kind": "patches", "discriminator_rate": 0.0005}
GANS = {
    "no_spectral": {"spectral": False},
    "r1": R1,
    "no_average": {"average": 0.0},
    "momentum": {"beta1": 0.5},
    "unconditional": UNCONDITIONAL,
    "unconditional_long": UNCONDITIONAL | {"n_steps": 4000},
    "patch_generator": UNCONDITIONAL | PATCH_GENERATOR,
    "patch_discriminator": UNCONDITIONAL | PATCH_DISCRIMINATOR,
}


def gans() -> dict[str, tuple[str, dict]]:
    """The same for lesson 07: its recipe with ten seeds, the others with three."""
    runs = {f"by_class-{seed}": ("cpu", {"seed": seed}) for seed in range(10)}
    runs |= {f"{name}-{seed}": ("cpu", changed | {"seed": seed}) for name, changed in GANS.items() for seed in SEEDS}
    del runs["patch_discriminator-2"]
    return runs | {"gpu-0": ("gpu", {})}


NOTEBOOKS = {"05_transformer_lm": ("train_lm", language_models), "07_gan": ("train_gan", gans)}


def count_tiny_shakespeare(name: str) -> None:
    """Modified Kneser–Ney on the text that the lesson does not fetch."""
    split = data.load("tiny_shakespeare")
    vocab = Characters(split.train + split.validation)
    start = time.perf_counter()
    models = {f"order_{n}": NGram(count_ngrams(vocab, split.train, n)) for n in range(4, 9)}
    results = {"train_seconds": (time.perf_counter() - start) / len(models)}
    results |= {order: evaluate(model, vocab, split.validation).nats_per_character for order, model in models.items()}
    keep("05_transformer_lm", Run(name, "benchmarks/recorded_runs.py", {"text": "tiny_shakespeare"}, results))
    print(name, results)


def main(lesson: str, *beginnings: str) -> None:
    notebook, wanted = NOTEBOOKS[lesson]
    counting = "counting-tiny_shakespeare"
    runs = wanted() | ({counting: ("", {})} if lesson == "05_transformer_lm" else {})
    for name, (profile, given) in runs.items():
        if not name.startswith(beginnings or "") or (FOLDER / lesson / f"{name}.json").exists():
            continue
        if commit().endswith("+"):
            sys.exit("files differ from the last commit: commit them first, and keep the runs with their code")
        if name == counting:
            count_tiny_shakespeare(counting)
            continue
        texts = {key: str(value) for key, value in (given | {"keep_as": name}).items()}
        with TemporaryDirectory() as folder:
            (row,) = run(plan([notebook], profile, texts), new_folder(Path(folder) / "run", profile))
        print(name, row["status"], row["error"] or row["results"], flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NOTEBOOKS:
        sys.exit(f"expected one of {', '.join(NOTEBOOKS)}, and beginnings of names if not all are to be made")
    main(*sys.argv[1:])
