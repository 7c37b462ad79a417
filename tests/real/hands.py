"""How a person works on a page: with the mouse, or with the keyboard alone. Counts what it takes."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

#: So many presses of Tab are more than any page should ask for.
FAR = 600


class Hands:
    """Common to both: `steps` counts clicks, or keys other than letters of a text."""

    name = ""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps = 0

    def press(self, target: Locator) -> None:
        """Push a button, follow a link, tick a box, open what is folded."""
        raise NotImplementedError

    def write(self, target: Locator, text: str) -> None:
        """Put `text` in a field, instead of what is there."""
        raise NotImplementedError

    def add(self, target: Locator, text: str) -> None:
        """Write `text` behind what is in a field."""
        self._into(target)
        self.page.keyboard.press("Control+End")
        self.page.keyboard.type(text)
        self.steps += 1

    def _into(self, target: Locator) -> None:
        raise NotImplementedError

    def choose(self, target: Locator, label: str) -> None:
        """Choose the option of a select that is called `label`."""
        raise NotImplementedError

    def leave(self) -> None:
        """Let go of a field in which Tab is a letter."""


class Mouse(Hands):
    """Clicks; letters are typed all the same."""

    name = "mouse"

    def press(self, target: Locator) -> None:
        target.click()
        self.steps += 1

    def write(self, target: Locator, text: str) -> None:
        self.press(target)
        target.fill(text)

    def _into(self, target: Locator) -> None:
        self.press(target)

    def choose(self, target: Locator, label: str) -> None:
        target.select_option(label=label)
        self.steps += 2


class Keyboard(Hands):
    """Tab to the place, then Enter, Space, or letters. What cannot be reached so fails."""

    name = "keyboard"

    def press(self, target: Locator) -> None:
        self._reach(target)
        ticks = target.evaluate("node => node.matches('input[type=radio], input[type=checkbox]')")
        self._key("Space" if ticks else "Enter")

    def write(self, target: Locator, text: str) -> None:
        self._reach(target)
        self._key("Control+a")
        self.page.keyboard.type(text)

    def _into(self, target: Locator) -> None:
        self._reach(target)

    def choose(self, target: Locator, label: str) -> None:
        self._reach(target)
        self.page.keyboard.type(label)
        self.steps += 1
        chosen = target.evaluate("node => node.selectedOptions[0].label")
        assert chosen == label, f"typing {label!r} chose {chosen!r}"

    def leave(self) -> None:
        self._key("Escape")

    def _key(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.steps += 1

    def _reach(self, target: Locator) -> None:
        target.wait_for(state="attached")
        here = target.element_handle()
        assert here is not None
        for _ in range(FAR):
            if here.evaluate("node => node === document.activeElement"):
                return
            self._key("Tab")
        raise AssertionError(f"{target} is not reached in {FAR} presses of Tab")
