"""The bands in bands.yaml: what each result of a lesson must lie in."""

from pathlib import Path

import yaml

BANDS = yaml.safe_load(Path(__file__).with_name("bands.yaml").read_text(encoding="utf-8"))


def outside(results: dict, bands: dict) -> list[str]:
    """The results that lie outside their band, NaN always; each as a line to read."""
    return [
        f"{name} = {results[name]}, expected {low} to {high}"
        for name, (low, high) in bands.items()
        if name in results and not low <= results[name] <= high
    ]


def faults(results: dict, bands: dict) -> list[str]:
    """As `outside`, and the bands without a result, and the results without a band; strings need none."""
    missing = [f"{name} is not recorded" for name in bands if name not in results]
    unbanded = [
        f"{name} = {value} has no band"
        for name, value in results.items()
        if name not in bands and not isinstance(value, str)
    ]
    return missing + unbanded + outside(results, bands)
