"""The matrix editor: the profile as fields over its JSON, and answers to try it with before it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from json import dumps, loads
from typing import Any

from django import forms

from incidents import severity as rules

LEVELS = [(n, f"SEV{n}") for n in range(1, 6)]


class MatrixForm(forms.Form):
    """A profile being edited. `json` holds the whole; the other fields lie over it where they are sent.

    Fields: `cell_R_C` (rows I5…I1, columns U4…U1), `band_N`, `title_KIND_N` and `text_KIND_N_M` for dimensions
    and questions, `at_KIND_N` for floors and caps; `try_KIND_CODE` are answers to try, which are not kept.
    """

    json = forms.JSONField(
        label="The whole as JSON",
        widget=forms.Textarea(attrs={"rows": 24, "cols": 100, "spellcheck": "false", "class": "vLargeTextField"}),
        help_text="For dimensions, questions, floors and caps that are to be added or taken out.",
    )  # fmt: skip
    note = forms.CharField(
        max_length=300,
        required=False,
        label="What changed and why",
        widget=forms.TextInput(attrs={"size": 80}),
    )

    def __init__(self, base: Mapping[str, Any], data: Any = None) -> None:
        super().__init__(data, initial={"json": dumps(base, indent=1, ensure_ascii=False)})
        self.base = deepcopy(dict(base))
        if data is not None:
            self.base = self._sent(data) or self.base
        if rules.check_profile(self.base):
            return  # only the JSON can put it right
        self._draw()

    def _sent(self, data: Any) -> dict[str, Any] | None:
        try:
            value = loads(data.get("json", ""))
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _draw(self) -> None:
        def add(name: str, field: forms.Field) -> None:
            field.required = False
            self.fields[name] = field

        for r, row in enumerate(self.base["matrix"]):
            for c, value in enumerate(row):
                label = f"Severity at impact I{5 - r}, urgency U{4 - c}"
                add(
                    f"cell_{r}_{c}",
                    forms.TypedChoiceField(choices=LEVELS, coerce=int, initial=value, label=label),
                )
        for n, value in enumerate(self.base["urgency_bands"]):
            add(
                f"band_{n}",
                forms.IntegerField(
                    min_value=0, max_value=99, initial=value, label=f"Highest sum of U{n + 1}"
                ),
            )
        for kind, texts in (("dimensions", "levels"), ("urgency", "options")):
            for n, row in enumerate(self.base[kind]):
                add(
                    f"title_{kind}_{n}",
                    forms.CharField(max_length=120, initial=row["title"], label=f"Title of {row['code']}"),
                )
                for m, text in enumerate(row[texts]):
                    label = f"{row['code']}, {'level' if kind == 'dimensions' else 'answer'} {m + (kind == 'dimensions')}"
                    add(f"text_{kind}_{n}_{m}", forms.CharField(max_length=300, initial=text, label=label))
                first = 1 if kind == "dimensions" else 0
                choices = [
                    ("", "Not answered"),
                    *((m, f"{m} {text}") for m, text in enumerate(row[texts], first)),
                ]
                add(f"try_{kind}_{row['code']}", forms.ChoiceField(choices=choices, label=row["title"]))
        for kind, bound, word in (("floors", "at_least", "At least"), ("caps", "at_most", "At most")):
            for n, row in enumerate(self.base[kind]):
                field = forms.TypedChoiceField(
                    choices=LEVELS, coerce=int, initial=row[bound], label=f"{word}: {row['title']}"
                )
                add(f"at_{kind}_{n}", field)
                add(f"try_{kind}_{row['fact']}", forms.BooleanField(label=row["title"]))

    def profile(self) -> dict[str, Any]:
        """The edited profile; call it after `is_valid`. It may still have problems (`rules.check_profile`)."""
        made: dict[str, Any] = deepcopy(self.base)
        sent = {
            name: value
            for name, value in self.cleaned_data.items()
            if name in self.data and value not in ("", None)
        }
        for name, value in sent.items():
            match name.split("_"):
                case ["cell", r, c]:
                    made["matrix"][int(r)][int(c)] = value
                case ["band", n]:
                    made["urgency_bands"][int(n)] = value
                case ["title", kind, n]:
                    made[kind][int(n)]["title"] = value
                case ["text", kind, n, m]:
                    made[kind][int(n)]["levels" if kind == "dimensions" else "options"][int(m)] = value
                case ["at", kind, n]:
                    made[kind][int(n)]["at_least" if kind == "floors" else "at_most"] = value
        return made

    def answers(self) -> dict[str, Any]:
        """What is tried, as `rules.assess` takes it; caps count, as if somebody approved them."""

        def numbers(kind: str) -> dict[str, int]:
            said = {
                row["code"]: self.cleaned_data.get(f"try_{kind}_{row['code']}") for row in self.base[kind]
            }
            return {code: int(value) for code, value in said.items() if value}

        facts = [row["fact"] for kind in ("floors", "caps") for row in self.base[kind]
                 if self.cleaned_data.get(f"try_{kind}_{row['fact']}")]  # fmt: skip
        return {
            "impact": numbers("dimensions"), "urgency": numbers("urgency"), "facts": dict.fromkeys(facts, True),
            "cap_approved": True,
        }  # fmt: skip

    # --- for the template ----------------------------------------------------------------------------
    def drawn(self) -> bool:
        return "cell_0_0" in self.fields

    def matrix(self) -> list[tuple[int, list[forms.BoundField]]]:
        """(impact, its cells from U4 to U1)."""
        return [(5 - r, [self[f"cell_{r}_{c}"] for c in range(4)]) for r in range(5)]

    def bands(self) -> list[forms.BoundField]:
        return [self[f"band_{n}"] for n in range(3)]

    def groups(self) -> list[dict[str, Any]]:
        """Dimensions, then questions: code, title, texts, and the answer to try."""
        return [
            {
                "kind": kind, "code": row["code"], "title": self[f"title_{kind}_{n}"],
                "texts": [self[f"text_{kind}_{n}_{m}"] for m in range(len(row["levels" if kind == "dimensions" else "options"]))],
                "tried": self[f"try_{kind}_{row['code']}"],
            }
            for kind in ("dimensions", "urgency") for n, row in enumerate(self.base[kind])
        ]  # fmt: skip

    def limits(self) -> list[dict[str, Any]]:
        """Floors, then caps: the limit, and whether to try its fact."""
        return [
            {"code": row["code"], "at": self[f"at_{kind}_{n}"], "tried": self[f"try_{kind}_{row['fact']}"]}
            for kind in ("floors", "caps")
            for n, row in enumerate(self.base[kind])
        ]
