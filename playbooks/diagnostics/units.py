"""Do the values look like the old ones in another unit? Cents for euros, feet for metres, Fahrenheit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: Scale factors between units that are mixed up, besides the powers of ten.
UNIT_FACTORS = {
    "inch and metre": 0.0254,
    "foot and metre": 0.3048,
    "mile and kilometre": 1.609344,
    "pound and kilogram": 0.45359237,
    "km/h and m/s": 3.6,
    "hour and day": 24.0,
    "second and minute": 60.0,
    "second and hour": 3600.0,
    "second and day": 86400.0,
    "byte and kibibyte": 1024.0,
}


def unit_change(reference: np.ndarray, current: np.ndarray) -> tuple[float, str] | None:
    """(ratio of medians, name of the conversion) when the values look like the old ones in another unit.

    The ratio must be within 3 % of a power of ten (0.01 for cents, 1000 …) or of a known conversion in
    either direction, and the rescaled values must have the same distribution (KS).
    """
    import numpy as np

    left, right = reference[reference != 0], current[current != 0]
    if min(len(left), len(right)) < 30:
        return None
    base, now = float(np.median(left)), float(np.median(right))
    if base == 0 or now / base <= 0:
        return None
    ratio = now / base
    power = round(math.log10(ratio))
    candidates = {f"a factor of {10.0**power:g}": 10.0**power} if power else {}
    for text, factor in UNIT_FACTORS.items():
        candidates[text] = (
            factor if abs(math.log(ratio / factor)) < abs(math.log(ratio * factor)) else 1 / factor
        )
    for text, factor in sorted(candidates.items(), key=lambda item: abs(math.log(ratio / item[1]))):
        if abs(ratio / factor - 1) < 0.03 and same_shape(left * factor, right):
            return ratio, text
    if not same_shape(left, right):
        for text, converted in (
            ("Celsius to Fahrenheit", reference * 1.8 + 32),
            ("Fahrenheit to Celsius", (reference - 32) / 1.8),
        ):
            if same_shape(converted, current, strict=True):
                return ratio, text
    return None


def same_shape(left: np.ndarray, right: np.ndarray, strict: bool = False) -> bool:
    """Whether two samples could come from one distribution, or differ too little to matter (KS D < 0.1)."""
    from scipy.stats import ks_2samp

    if min(len(left), len(right)) < 30:
        return False
    chance = 1.36 * math.sqrt((len(left) + len(right)) / (len(left) * len(right)))
    return bool(ks_2samp(left, right, method="asymp").statistic < (chance if strict else max(0.10, chance)))
