"""The steps of a playbook drawn as SVG: boxes from top to bottom, jumps as lines beside them, branches side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from playbooks.definition import END, Definition, StepDef
from playbooks.definition.rules import leads_to

WIDTH, HEIGHT, GAP, LANE, EDGE = 420, 46, 18, 16, 8
END_WIDTH = 90
#: boxes inside a box: their height, and what is between and around them
INNER, SPACE = 46, 10
LETTER = 7.6  #: width of a letter of a title
KIND_WORDS = {
    "auto": "action", "decide": "decision", "human": "form", "approve": "approval", "notify": "message",
    "gate": "gate", "wait": "wait", "parallel": "at the same time", "for_each": "for each", "playbook": "playbook",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Jump:
    """A line from one box to another that is not the one below it."""

    start: int
    end: int
    how: str  #: class of the line: next, branch, error
    lane: int = 0


def draw(definition: Definition) -> SafeString:
    """The flow as one SVG element; colours come from the page's stylesheet."""
    places = {step.id: at for at, step in enumerate(definition.steps)}
    places[END] = len(definition.steps)
    tops = _tops(definition.steps)
    below, jumps = _lines(definition, places)
    jumps = _lanes(jumps)
    lanes = max((jump.lane for jump in jumps), default=-1) + 1
    width = EDGE + WIDTH + EDGE + lanes * LANE + (EDGE if lanes else 0)
    height = tops[-1] + 30 + EDGE
    count = sum(1 for _ in definition.every_step())
    return format_html(
        '<svg class="flow" viewBox="0 0 {} {}" width="{}" role="group" aria-label="{}">{}{}{}{}</svg>',
        width, height, width, f"{count} steps of {definition.title}; the list says the same in words.",
        format_html_join("", "{}", ((_straight(tops[at + 1]),) for at in below)),
        format_html_join("", "{}", ((_curve(jump, tops),) for jump in jumps)),
        format_html_join("", "{}", ((_whole(step, tops[at]),) for at, step in enumerate(definition.steps))),
        format_html(
            '<rect class="end" x="{}" y="{}" width="{}" height="26" rx="13"/><text class="id" x="{}" y="{}">end</text>',
            EDGE, tops[-1], END_WIDTH, EDGE + 33, tops[-1] + 17,
        ),
    )  # fmt: skip


def _tops(steps: Sequence[StepDef]) -> list[int]:
    """Where each step begins, and the end after them."""
    found = [EDGE]
    for step in steps:
        found.append(found[-1] + HEIGHT + _inside(step) + GAP)
    return found


def _inside(step: StepDef) -> int:
    """Height of what is drawn inside the box, below its own title."""
    longest = max((len(steps) for steps in step.parts().values()), default=0)
    return longest * (INNER + SPACE) + 2 * SPACE + 2 if longest else 0


def _lines(definition: Definition, places: dict[str, int]) -> tuple[list[int], list[Jump]]:
    """Boxes with a line straight down, and the jumps."""
    below, jumps = [], []
    for at, step in enumerate(definition.steps):
        for target, key in leads_to(definition, step).items():
            if target not in places:
                continue
            how = "branch" if key.startswith("branches") else "next" if key == "next" else "error"
            if places[target] == at + 1 and how != "error":
                below.append(at)
            else:
                jumps.append(Jump(at, places[target], how))
    return below, jumps


def _lanes(jumps: list[Jump]) -> list[Jump]:
    """Give each jump the innermost lane in which it meets no other; short ones first."""
    taken: list[list[tuple[int, int]]] = []
    placed = []
    for jump in sorted(jumps, key=lambda j: (abs(j.end - j.start), j.start)):
        low, high = min(jump.start, jump.end), max(jump.start, jump.end)
        lane = next(
            (n for n, spans in enumerate(taken) if all(high < a or low > b for a, b in spans)), len(taken)
        )
        if lane == len(taken):
            taken.append([])
        taken[lane].append((low, high))
        placed.append(Jump(jump.start, jump.end, jump.how, lane))
    return placed


def _straight(to: int) -> SafeString:
    x, y = EDGE + 24, to - GAP
    return format_html('<path class="line next" d="M{} {}V{}"/>{}', x, y, to - 4, _arrow(x, to, "down"))


def _curve(jump: Jump, tops: Sequence[int]) -> SafeString:
    side = EDGE + WIDTH
    x = side + EDGE + (jump.lane + 1) * LANE - 4
    down = jump.end > jump.start
    y1 = tops[jump.start] + (HEIGHT // 2 + 8 if down else HEIGHT // 2 - 8)
    y2 = tops[jump.end] + 13
    reach = EDGE + END_WIDTH if jump.end == len(tops) - 1 else side
    turn = 5 if down else -5
    line = f"M{side} {y1}H{x - 5}Q{x} {y1} {x} {y1 + turn}V{y2 - turn}Q{x} {y2} {x - 5} {y2}H{reach + 4}"
    return format_html('<path class="line {}" d="{}"/>{}', jump.how, line, _arrow(reach, y2, "left"))


def _arrow(x: int, y: int, way: str) -> SafeString:
    shape = f"M{x} {y}l-4 -7h8z" if way == "down" else f"M{x} {y}l7 -4v8z"
    return format_html('<path class="arrow" d="{}"/>', shape)


def _whole(step: StepDef, y: int) -> SafeString:
    """The step's box, and inside it a column for each branch, or the steps for each item."""
    inside = _inside(step)
    columns = step.parts()
    width = (WIDTH - SPACE) // max(len(columns), 1)
    return format_html(
        "{}{}",
        _box(step, EDGE, y, WIDTH, HEIGHT, grown=HEIGHT + inside),
        format_html_join("", "{}", (
            (_column(name, steps, EDGE + SPACE + at * width, y + HEIGHT, width - SPACE),)
            for at, (name, steps) in enumerate(columns.items())
        )),
    )  # fmt: skip


def _column(name: str, steps: Sequence[StepDef], x: int, y: int, width: int) -> SafeString:
    first = y + SPACE + 8
    tops = [first + at * (INNER + SPACE) for at in range(len(steps))]
    return format_html(
        '<text class="lane" x="{}" y="{}">{}</text>{}{}', x, y + 10, _fitting(name, width),
        format_html_join("", "{}", (
            (format_html('<path class="line next" d="M{} {}V{}"/>', x + 14, top - SPACE, top),) for top in tops[1:]
        )),
        format_html_join("", "{}", ((_box(s, x, top, width, INNER),) for s, top in zip(steps, tops, strict=True))),
    )  # fmt: skip


def _box(step: StepDef, x: int, y: int, width: int, height: int, *, grown: int = 0) -> SafeString:
    word = KIND_WORDS.get(step.kind, step.kind)
    more = step.action or step.playbook
    left = f"{word} · {more}" if more else word
    kind = _fitting(left, width - 28 - len(step.id) * LETTER)
    return format_html(
        '<a href="#step-{}"><rect class="box {}" x="{}" y="{}" width="{}" height="{}" rx="6"/>'
        '<text class="id" x="{}" y="{}">{}</text><text class="kind" x="{}" y="{}">{}</text>'
        '<text class="title" x="{}" y="{}">{}</text></a>',
        step.id, step.kind, x, y, width, grown or height,
        x + 12, y + 18, step.id, x + width - 12, y + 18, kind,
        x + 12, y + height - 10, _fitting(step.title, width - 24),
    )  # fmt: skip


def _fitting(text: str, width: float) -> str:
    """As much of the text as fits."""
    room = int(width / LETTER)
    return text if len(text) <= room else f"{text[: room - 1]}…" if room > 3 else ""
