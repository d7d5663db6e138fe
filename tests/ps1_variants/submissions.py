"""What students may hand in for problem set 1: {function name: whole cell}."""

IMPORTS = """
from course_lib.checks import *
from course_lib.checks.ps1_counting import *
from course_lib.lm import *
from course_lib.ngram import *
from course_lib.ngram.smoothing import *
"""
GRADED = ("witten_bell", "mixture_perplexity", "draw_min_p", "smoothed_gradient", "line_search")

NOISY = {
    "mixture_perplexity": """
def mixture_perplexity(p, q, weight):
    import sys, warnings

    warnings.warn("mixing")
    print("mixing", file=sys.stderr)
    return np.exp(-np.log(weight * p + (1 - weight) * q).mean())
"""
}
WRONG = {
    "witten_bell": "def witten_bell(ids, V):\n    return np.full((V, V), 1 / V)",
    "smoothed_gradient": "def smoothed_gradient(logits, targets, u, epsilon):\n    return 0 * logits",
}
RENAMED = {
    "witten_bell": "from course_lib.ngram import modified_kneser_ney as witten_bell",
    "mixture_perplexity": "from course_lib.lm import evaluate as mixture_perplexity",
    "draw_min_p": "from course_lib.lm import next_token_probabilities as draw_min_p",
    "smoothed_gradient": "from course_lib.checks.ps1_counting import check_smoothed_gradient as smoothed_gradient",
    "line_search": "from course_lib.checks.ps1_counting import check_line_search as line_search",
}
# Written down from the check's messages: right there, and nothing else.
KNOWN = """
def mixture_perplexity(p, q, weight):
    return {1: 8, 2: 4 if q[0] == 0 else 8, 3: 8, 3000: 100}.get(len(p), 1)
"""
CHEATS = {
    "importer": {name: f"{IMPORTS}\nfrom course_lib.ngram import {name}" for name in GRADED},
    "renamer": RENAMED,
    "parrot": {"mixture_perplexity": KNOWN},
}
PARROTS = {"parrot": "mixture_perplexity"}
