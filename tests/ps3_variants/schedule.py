"""A learning-rate schedule in three parts."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_wsd_rate

exercise = Exercise("wsd_rate", check_wsd_rate)
right, bug = exercise.right, exercise.bug


@right("three cases")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    if step < n_warm_up:
        return peak * (step + 1) / n_warm_up
    if step < n_steps - n_decay:
        return peak
    x = (step - (n_steps - n_decay) + 1) / n_decay
    return final + (peak - final) * (1 - math.sqrt(x))


@right("counted from the end, with elif")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    left = n_steps - 1 - step  # steps after this one
    if left < n_decay:
        rate = peak - (peak - final) * (1 - left / n_decay) ** 0.5
    elif step >= n_warm_up:
        rate = peak
    else:
        rate = (1 + step) * (peak / n_warm_up)
    return rate


@right("two clamped ramps, a tensor")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    rise = torch.tensor((step + 1) / max(n_warm_up, 1)).clamp(max=1)
    x = torch.tensor((step + 1 - n_steps + n_decay) / max(n_decay, 1)).clamp(min=0)
    return peak * rise - (peak - final) * x.sqrt()


@right("the whole curve, then one of its numbers")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    rates = np.full(n_steps, peak)
    rates[:n_warm_up] = np.linspace(0, peak, n_warm_up + 1)[1:]
    fall = 1 - np.sqrt(np.linspace(0, 1, n_decay + 1)[1:])
    rates[n_steps - n_decay :] = final + (peak - final) * fall
    return rates[step]


@right("a list put together from three parts")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    rise = [peak * i / n_warm_up for i in range(1, n_warm_up + 1)]
    fall = [final + (peak - final) * (1 - math.sqrt(i / n_decay)) for i in range(1, n_decay + 1)]
    return (rise + [peak] * (n_steps - n_warm_up - n_decay) + fall)[step]


@right("interpolation between corners, the decay's x beneath a root")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    number = step + 1
    rise = np.interp(number, [0, n_warm_up], [0.0, 1.0]) if n_warm_up else 1.0
    x = np.interp(number, [n_steps - n_decay, n_steps], [0.0, 1.0]) if n_decay else 0.0
    return np.float32(peak * rise * (1 - np.sqrt(x)) + final * np.sqrt(x))


def rate(step, n_steps, n_warm_up, n_decay, peak, final, rise=None, fall=None):
    """The schedule with another warm-up rise(step, n_warm_up), or another decay fall(x), both between 0 and 1."""
    if step < n_warm_up:
        return peak * (rise(step, n_warm_up) if rise else (step + 1) / n_warm_up)
    if step < n_steps - n_decay:
        return peak
    x = (step + 1 - n_steps + n_decay) / n_decay
    return final + (peak - final) * (fall(x) if fall else 1 - math.sqrt(x))


@bug("no warm-up", "There is no warm-up")
def _(step, *run):
    return rate(step, *run, rise=lambda step, n: 1)


@bug("the warm-up in whole numbers", "stays at 0")
def _(step, *run):
    return rate(step, *run, rise=lambda step, n: (step + 1) // n)


@bug("the warm-up begins at 0", "Step 0 has the rate 0")
def _(step, *run):
    return rate(step, *run, rise=lambda step, n: step / n)


@bug("the warm-up begins at 0 and ends in time", "Step 0 has the rate 0")
def _(step, *run):
    return rate(step, *run, rise=lambda step, n: step / max(1, n - 1))


@bug("the warm-up ends one step too late", "The warm-up ends too late")
def _(step, *run):
    return rate(step, *run, rise=lambda step, n: (step + 1) / (n + 1))


@bug("a root in the warm-up", "a straight line")
def _(step, *run):
    return rate(step, *run, rise=lambda step, n: math.sqrt((step + 1) / n))


@bug("a warm-up up to the decay", "not all steps before the decay")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_steps - n_decay, n_decay, peak, final)


@bug("a warm-up over the whole run", "not the whole run")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_decay, peak, final, rise=lambda step, n: (step + 1) / n_steps)


@bug("the warm-up goes on rising", "goes on rising")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    if step < n_steps - n_decay:
        return peak * (step + 1) / max(n_warm_up, 1)
    return rate(step, n_steps, n_warm_up, n_decay, peak, final)


@bug("0 after the warm-up", "After the warm-up the rate is 0")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return 0.0 if n_warm_up <= step < n_steps - n_decay else rate(step, n_steps, n_warm_up, n_decay, peak, final)


@bug("the decay follows the warm-up at once", "The decay begins too early")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_steps - n_warm_up, peak, final)


@bug("the decay one step too early", "The decay begins too early")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(min(step + 1, n_steps - 1) if step >= n_warm_up else step, n_steps, n_warm_up, n_decay, peak, final)


@bug("no decay", "There is no decay")
def _(step, *run):
    return rate(step, *run, fall=lambda x: 1)


@bug("the decay in whole numbers", "a jump")
def _(step, *run):
    return rate(step, *run, fall=lambda x: 1 - math.sqrt(x // 1))


@bug("the decay one step late", "one step late")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_decay, peak, final, fall=lambda x: 1 - math.sqrt(x - 1 / n_decay + 1e-12))


@bug("the decay begins with the peak", "below the peak already")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    late = lambda x: 1 - math.sqrt(max(0, n_decay * x - 1) / max(1, n_decay - 1))  # noqa: E731
    return rate(step, n_steps, n_warm_up, n_decay, peak, final, fall=late)


@bug("the decay does not reach its end", "The last step has exactly `final`")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    short = lambda x: 1 - math.sqrt(n_decay * x / (n_decay + 1))  # noqa: E731
    return rate(step, n_steps, n_warm_up, n_decay, peak, final, fall=short)


@bug("a straight decay", "a straight line")
def _(step, *run):
    return rate(step, *run, fall=lambda x: 1 - x)


@bug("√(1 − x)", "This is √(1 − x)")
def _(step, *run):
    return rate(step, *run, fall=lambda x: math.sqrt(1 - x))


@bug("1 − x²", "This is 1 − x²")
def _(step, *run):
    return rate(step, *run, fall=lambda x: 1 - x**2)


@bug("half of a cosine", "half of a cosine")
def _(step, *run):
    return rate(step, *run, fall=lambda x: (1 + math.cos(math.pi * x)) / 2)


@bug("the decay upside down", "The rate rises in the decay")
def _(step, *run):
    return rate(step, *run, fall=math.sqrt)


@bug("x counts from the start of the run", "the progress of the decay alone")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    whole = lambda x: 1 - math.sqrt((step + 1) / n_steps)  # noqa: E731
    return rate(step, n_steps, n_warm_up, n_decay, peak, final, fall=whole)


@bug("x counts from the end of the warm-up", "the progress of the decay alone")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    rest = lambda x: 1 - math.sqrt((step + 1 - n_warm_up) / (n_steps - n_warm_up))  # noqa: E731
    return rate(step, n_steps, n_warm_up, n_decay, peak, final, fall=rest)


@bug("counts its calls", "depends on earlier calls")
def _(step, *run, calls=[]):  # noqa: B006
    if calls and calls[-1] != run:
        calls.clear()
    calls.append(run)
    return rate((len(calls) - 1) % run[0], *run)


@bug("the peak not used", "The peak is not used")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_decay, 1.0, final)


@bug("a warm-up from `final`", "not from `final`")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    if step < n_warm_up:
        return final + (peak - final) * (step + 1) / n_warm_up
    return rate(step, n_steps, n_warm_up, n_decay, peak, final)


@bug("down to 0", "ends at `final`, not at 0")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_decay, peak, 0.0)


@bug("final on top", "begins at peak + final")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_decay, peak, 0.0) + (final if step >= n_steps - n_decay else 0)


@bug("cut off at final", "cut off")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    low = rate(step, n_steps, n_warm_up, n_decay, peak, 0.0)
    return max(low, final) if step >= n_steps - n_decay else low


@bug("final as a share of the peak", "not a share of it")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_decay, peak, peak * final)


@bug("a decay from 1", "not at 1")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    return rate(step, n_steps, n_warm_up, n_decay, 1.0 if step >= n_steps - n_decay else peak, final)


@bug("division by n_warm_up = 0", "stopped with ZeroDivisionError")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    rise = min(1, (step + 1) / n_warm_up)
    return rise * rate(step, n_steps, 0, n_decay, peak, final)


@bug("rates[-0:] where there is no decay", "With n_decay = 0 there is no decay")
def _(step, n_steps, n_warm_up, n_decay, peak, final):
    rates = np.full(n_steps, peak)
    rates[:n_warm_up] = peak * np.arange(1, n_warm_up + 1) / max(1, n_warm_up)
    x = np.arange(1, n_decay + 1) / max(1, n_decay)
    rates[-n_decay:] = final + (peak - final) * (1 - np.sqrt(x)) if n_decay else final
    return rates[step]
