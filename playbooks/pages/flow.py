"""The steps of a playbook drawn as SVG: boxes from top to bottom, jumps as lines beside them."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from playbooks.definition import END, Definition, StepDef
from playbooks.definition.rules import leads_to

WIDTH, HEIGHT, GAP, LANE, EDGE = 420, 46, 18, 16, 8
END_WIDTH = 90
TEXT = 52  #: characters of a title that fit into a box
KIND_WORDS = {
    "auto": "action", "decide": "decision", "human": "form", "approve": "approval", "notify": "message",
    "gate": "gate", "wait": "wait",
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
    below, jumps = _lines(definition, places)
    jumps = _lanes(jumps)
    lanes = max((jump.lane for jump in jumps), default=-1) + 1
    width = EDGE + WIDTH + EDGE + lanes * LANE + (EDGE if lanes else 0)
    height = EDGE + places[END] * (HEIGHT + GAP) + 30 + EDGE
    return format_html(
        '<svg class="flow" viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">{}{}{}{}</svg>',
        width, height, width, f"{len(definition.steps)} steps of {definition.title}; the list says the same in words.",
        format_html_join("", "{}", ((_straight(at),) for at in below)),
        format_html_join("", "{}", ((_curve(jump, places[END]),) for jump in jumps)),
        format_html_join("", "{}", ((_box(at, step),) for at, step in enumerate(definition.steps))),
        format_html(
            '<rect class="end" x="{}" y="{}" width="{}" height="26" rx="13"/><text class="id" x="{}" y="{}">end</text>',
            EDGE, _top(places[END]), END_WIDTH, EDGE + 33, _top(places[END]) + 17,
        ),
    )  # fmt: skip


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


def _top(at: int) -> int:
    return EDGE + at * (HEIGHT + GAP)


def _straight(at: int) -> SafeString:
    x, y = EDGE + 24, _top(at) + HEIGHT
    return format_html(
        '<path class="line next" d="M{} {}V{}"/>{}', x, y, y + GAP - 4, _arrow(x, y + GAP, "down")
    )


def _curve(jump: Jump, end: int) -> SafeString:
    side = EDGE + WIDTH
    x = side + EDGE + (jump.lane + 1) * LANE - 4
    down = jump.end > jump.start
    y1 = _top(jump.start) + (HEIGHT // 2 + 8 if down else HEIGHT // 2 - 8)
    y2 = _top(jump.end) + 13
    reach = EDGE + END_WIDTH if jump.end == end else side
    turn = 5 if down else -5
    line = f"M{side} {y1}H{x - 5}Q{x} {y1} {x} {y1 + turn}V{y2 - turn}Q{x} {y2} {x - 5} {y2}H{reach + 4}"
    return format_html('<path class="line {}" d="{}"/>{}', jump.how, line, _arrow(reach, y2, "left"))


def _arrow(x: int, y: int, way: str) -> SafeString:
    shape = f"M{x} {y}l-4 -7h8z" if way == "down" else f"M{x} {y}l7 -4v8z"
    return format_html('<path class="arrow" d="{}"/>', shape)


def _box(at: int, step: StepDef) -> SafeString:
    y = _top(at)
    title = step.title if len(step.title) <= TEXT else f"{step.title[: TEXT - 1]}…"
    word = KIND_WORDS.get(step.kind, step.kind)
    return format_html(
        '<a href="#step-{}"><rect class="box {}" x="{}" y="{}" width="{}" height="{}" rx="6"/>'
        '<text class="id" x="{}" y="{}">{}</text><text class="kind" x="{}" y="{}">{}</text>'
        '<text class="title" x="{}" y="{}">{}</text></a>',
        step.id, step.kind, EDGE, y, WIDTH, HEIGHT,
        EDGE + 12, y + 18, step.id, EDGE + WIDTH - 12, y + 18, f"{word} · {step.action}" if step.action else word,
        EDGE + 12, y + 36, title,
    )  # fmt: skip
