"""A mail server of the tests: a real one that speaks as much SMTP (RFC 5321) as taking mail needs."""

from __future__ import annotations

import base64
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from tests.integrations.local import line_server


@dataclass
class PostOffice:
    """What it took, and how it answers: `refuses` maps the begin of a command to an answer."""

    starttls: ssl.SSLContext | None = None
    password: str = ""
    refuses: dict[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    taken: list[tuple[str, list[str], bytes]] = field(default_factory=list)

    def letters(self) -> list[EmailMessage]:
        return [message_from_bytes(raw, policy=policy.default) for _, _, raw in self.taken]  # type: ignore[misc]


@contextmanager
def smtp(office: PostOffice, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve it on 127.0.0.1; yields the port. `tls`: encrypted from the first byte."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.secret = tls is not None
            self.say("220 post.example.org ready")
            sender, to = "", list[str]()
            while line := self.rfile.readline().decode().strip():
                office.heard.append(line)
                answer = next(
                    (told for begin, told in office.refuses.items() if line.upper().startswith(begin)), ""
                )
                word = line.split(" ", 1)[0].upper()
                if answer:
                    self.say(answer)
                elif word == "EHLO":
                    offers = ["post.example.org", "SIZE 1000000", "AUTH PLAIN LOGIN"]
                    offers += ["STARTTLS"] if office.starttls and not self.secret else []
                    self.say("\r\n".join([f"250-{one}" for one in offers[:-1]] + [f"250 {offers[-1]}"]))
                elif word == "STARTTLS" and office.starttls:
                    self.say("220 go")
                    self.request = office.starttls.wrap_socket(self.request, server_side=True)
                    self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
                    self.secret = True
                elif word == "AUTH":
                    given = base64.b64decode(line.split(" ")[2]).decode().split("\0")[-1]
                    self.say("235 welcome" if given == office.password else "535 5.7.8 wrong password")
                elif word == "MAIL":
                    sender = line
                    self.say("250 OK")
                elif word == "RCPT":
                    to.append(line)
                    self.say("250 OK")
                elif word == "DATA":
                    self.say("354 go on")
                    raw = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        raw += part.removeprefix(b".") if part.startswith(b"..") else part
                    office.taken.append((sender, to, raw))
                    office.encrypted.append(self.secret)
                    self.say("250 2.0.0 taken")
                elif word in ("RSET", "NOOP"):
                    self.say("250 OK")
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("502 what?")

        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

    with line_server(Handler, tls) as port:
        yield port
