"""What kind of values a column holds, and figures as JSON-safe values."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Kind = Literal["numeric", "categorical", "time", "empty", "other"]

#: A number with no more distinct values than this is a code (flag, grade, class), not a quantity.
FEW_VALUES = 10
PEEK_ROWS = 1_000
MISSING = "(missing)"
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)")


def kind_of(*parts: pd.Series) -> Kind:
    """The kind that all `parts` of a column share ("other" where they disagree or hold nested values)."""
    kinds = {_kind(part) for part in parts} - {"empty"}
    if not kinds:
        return "empty"
    if kinds == {"numeric"}:
        values: set[object] = set()
        for rows in (PEEK_ROWS, None):  # the first rows are enough for most quantities
            for part in parts:
                values.update(part.iloc[:rows].dropna().unique()[: FEW_VALUES + 1])
            if len(values) > FEW_VALUES:
                break
        return "categorical" if len(values) <= FEW_VALUES else "numeric"
    return kinds.pop() if len(kinds) == 1 else "other"


def storage_kind(part: pd.Series) -> Kind:
    """The kind by storage alone: a flag stored as 0 and 1 is numeric here."""
    return _kind(part)


def _kind(part: pd.Series) -> Kind:
    from pandas.api import types

    if part.notna().sum() == 0:
        return "empty"
    if types.is_bool_dtype(part):
        return "categorical"
    if types.is_numeric_dtype(part):
        return "numeric"
    if types.is_datetime64_any_dtype(part):
        return "time"
    inferred = types.infer_dtype(part, skipna=True)
    if inferred == "string" and part.dropna().head(50).map(lambda text: bool(_ISO_TIME.match(text))).all():
        return "time"  # CSV has no type for times
    if inferred in ("string", "boolean", "categorical", "mixed-integer", "bytes"):
        return "categorical"
    if inferred in ("decimal", "integer", "floating", "mixed-integer-float"):
        return "numeric"
    if inferred in ("datetime", "datetime64", "date"):
        return "time"
    return "other"


def numbers(part: pd.Series) -> np.ndarray:
    """The finite numbers of a column as float64, without missing values."""
    import numpy as np
    import pandas as pd

    values = pd.to_numeric(part, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return values[np.isfinite(values)]


def labels(part: pd.Series) -> pd.Series:
    """The values of a column as text, so that 1, 1.0 and "1" are one category; missing is its own."""
    return part.map(label, na_action="ignore").fillna(MISSING).astype(str)


def label(value: object) -> str:
    """One category as text; whole floats lose their ".0"."""
    if isinstance(value, bool):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def json_safe(value: Any) -> Any:
    """`value` as JSON values: dataclasses and named tuples become maps, NaN and infinities None, numpy scalars Python's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: json_safe(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [json_safe(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
