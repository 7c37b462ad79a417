"""A mailbox of the tests: a real server that speaks as much IMAP (RFC 3501) as reading new mail takes."""

from __future__ import annotations

import re
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.integrations.local import line_server


@dataclass
class Mailbox:
    """Messages by uid, and every command that was received."""

    messages: dict[int, bytes] = field(default_factory=dict)
    validity: int = 7
    password: str = "right"
    starttls: bool = False
    heard: list[str] = field(default_factory=list)

    def add(self, raw: bytes) -> int:
        uid = max(self.messages, default=0) + 1
        self.messages[uid] = raw
        return uid


@contextmanager
def imap(box: Mailbox, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve the mailbox on 127.0.0.1; yields the port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"* OK ready\r\n")
            while line := self.rfile.readline():
                tag, _, command = line.decode().strip().partition(" ")
                box.heard.append(command)
                verdict = f"{tag} {self.verdict(command)}\r\n".encode()
                self.wfile.write(b"".join(self.answer(command)) + verdict)
                if command.upper() == "LOGOUT":
                    return

        def verdict(self, command: str) -> str:
            if command.startswith("LOGIN") and box.password not in command:
                return "NO [AUTHENTICATIONFAILED] Invalid credentials"
            if command.startswith(("EXAMINE", "SELECT")) and "INBOX" not in command:
                return "NO no such mailbox"
            return "OK done"

        def answer(self, command: str) -> Iterator[bytes]:
            if command == "CAPABILITY":
                yield b"* CAPABILITY IMAP4rev1" + (b" STARTTLS" if box.starttls else b"") + b"\r\n"
            elif command.startswith("EXAMINE") and "INBOX" in command:
                end = max(box.messages, default=0) + 1
                yield f"* {len(box.messages)} EXISTS\r\n* OK [UIDVALIDITY {box.validity}] valid\r\n".encode()
                yield f"* OK [UIDNEXT {end}] next\r\n".encode()
            elif found := re.fullmatch(r"UID SEARCH UID (\d+):\*", command):
                last = max(box.messages, default=0)
                uids = [uid for uid in box.messages if uid >= int(found[1])] or ([last] if last else [])
                yield f"* SEARCH {' '.join(map(str, uids))}\r\n".encode()
            elif found := re.fullmatch(r"UID FETCH (\d+) \(UID BODY\.PEEK\[\]<0\.(\d+)>\)", command):
                uid = int(found[1])
                raw = box.messages[uid][: int(found[2])]
                yield f"* 1 FETCH (UID {uid} BODY[]<0> {{{len(raw)}}}\r\n".encode() + raw + b")\r\n"
            elif command == "LOGOUT":
                yield b"* BYE\r\n"

    with line_server(Handler, tls) as port:
        yield port
