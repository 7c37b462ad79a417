"""What providers that only listen share: check who sends, read the JSON, translate; leniently, saying why not.

What is no JSON is refused. JSON of an unknown form is stored and set aside, where a person sees it: monitors rarely
send twice, and the next release of a reader may understand it.
"""

from __future__ import annotations

import abc
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from integrations import normalise
from integrations.authenticity import SHARED_SECRET, require_shared
from integrations.contract import Field, Inbound, Provider, Refusal, Reply, Said, Unreadable
from integrations.normalise import text

FORM = "application/x-www-form-urlencoded"
#: Signals of one message; a bigger report is refused as a whole, so that one message stays one short transaction.
MOST_ITEMS = 2000
#: Fields of a form that are read.
_MOST_FIELDS = 1000
#: Characters of a template that is searched for its members: people write them by hand.
_LONGEST_TEMPLATE = 10_000
#: One member of a flat JSON object whose values nobody escaped: up to a quote before the next member or the end.
_MEMBER = re.compile(r'"([^"\s]{1,80})"\s*:\s*"(.*?)"\s*(?=,\s*"[^"\s]{1,80}"\s*:|\}\s*$)', re.DOTALL)

#: Variables of the templates that monitors fill in, left as they were: {{title}}, ${title}, $TITLE, <[[title]]>.
_VARIABLE = re.compile(r"\{\{[^{}]{0,200}\}\}|\$\{\w{1,80}\}|\$[A-Z][A-Z0-9_]{1,80}|<\[\[[\w-]{1,80}\]\]>")


class Listening(Provider, abc.ABC):
    """A provider whose messages are JSON. Subclasses write `said`, and `authenticate` for signatures."""

    inbound = True
    fields: ClassVar[Sequence[Field]] = (SHARED_SECRET,)
    idempotency = "A message sent again reports the same conditions and changes nothing."
    #: its users write the body as a template into which the vendor puts text without escaping it
    templated: ClassVar[bool] = False

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """Raises Refusal (401) unless the message is from whom it says."""
        require_shared(inbound, settings)

    @abc.abstractmethod
    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        """What a parsed body says; empty when it says nothing of interest. Raises Unreadable."""

    def admit(self, inbound: Inbound, settings: Mapping[str, Any]) -> int:
        self.authenticate(inbound, settings)
        try:
            items = len(self.said(self._body(inbound), inbound, settings))
        except Unreadable:
            return 1  # kept, and set aside by `parse` with the reason
        if items > MOST_ITEMS:
            raise Refusal(f"{items} checks in one message; send at most {MOST_ITEMS} at a time.", 413)
        return items

    def parse(self, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        try:
            body = self._body(inbound)
        except Refusal as error:  # it was admitted by an earlier release
            raise Unreadable(str(error)) from error
        return self.said(body, inbound, settings)

    def _body(self, inbound: Inbound) -> Any:
        if inbound.content_type == FORM:
            return _form(inbound.body)
        try:
            return normalise.read_json(inbound.body)
        except normalise.NotJSON as error:
            if self.templated and (found := _unescaped(inbound.body)):
                return found
            raise Refusal(str(error)) from error


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def entries(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; anything else is passed over."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def is_unfilled(value: Any) -> bool:
    """Whether a text is nothing but a variable of a template that nobody filled in."""
    return isinstance(value, str) and _VARIABLE.fullmatch(value.strip()) is not None


def object_of(body: Any, what: str) -> Mapping[str, Any]:
    """The body as an object. Raises Unreadable, which says that this is not `what`."""
    if not isinstance(body, Mapping) or not body:
        raise Unreadable(f"This is not {what}: it is no JSON object with content.")
    return body


def thanks(note: str) -> Reply:
    """The answer to a vendor's trial message, which is not stored."""
    return Reply(200, json.dumps({"note": note}).encode(), {"Content-Type": "application/json"})


def _form(body: bytes) -> Any:
    """A form as an object; its fields may hold JSON, and `payload` or `data` may hold the whole message."""
    try:
        fields = dict(
            parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        )
    except ValueError as error:
        raise Refusal(f"The form cannot be read: {error}.") from error
    read = {name: _maybe_json(value) for name, value in fields.items()}
    for name in ("payload", "data"):
        if len(read) == 1 and isinstance(read.get(name), dict | list):
            return read[name]
    return read


def _maybe_json(value: str) -> Any:
    if not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return normalise.read_json(value.encode(errors="replace"))
    except normalise.NotJSON:
        return value


def _unescaped(body: bytes) -> dict[str, Any]:
    """The members of a flat object in which line breaks or quotes were not escaped; empty if there are none."""
    written = body.decode(errors="replace").strip()
    if not written.startswith("{") or not written.endswith("}") or len(written) > _LONGEST_TEMPLATE:
        return {}
    try:
        if isinstance(read := json.loads(written, strict=False), dict):
            return read
    except (ValueError, RecursionError):
        pass  # more than line breaks: look for its members one by one
    return {text(name): text(value.replace('\\"', '"')) for name, value in _MEMBER.findall(written)}
