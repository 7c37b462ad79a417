"""The one socket: where it may go, how long it waits, what it keeps, and that it keeps quiet."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import Conversation, Request, Response, SendError, Sent
from integrations.http.egress import refusal
from integrations.masking import mask, shown_url
from tests.integrations.local import raw_server, redirect, reply, server
from tests.processes import free_port

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def local_network_allowed(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


def refused(request: Request, **more: Any) -> SendError:
    with pytest.raises(SendError) as caught:
        http.send(request, **more)
    return caught.value


# --- sending -------------------------------------------------------------------------------------------


def test_a_json_request_arrives_as_it_was_composed() -> None:
    with server(reply(201, b'{"key": "ML-7"}', X_Request_Id="r1")) as (base, seen):
        response = http.send(
            Request(
                "POST",
                f"{base}/issue",
                {"Authorization": "Bearer s"},
                {"title": "Größe \ud800"},
                params={"a": "b c"},
            )
        )
    assert (response.status, response.json, response.headers["x-request-id"]) == (201, {"key": "ML-7"}, "r1")
    (method, path, headers, body) = seen[0]
    assert (method, path) == ("POST", "/issue?a=b+c")
    assert headers["authorization"] == "Bearer s"
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(body) == {"title": "Größe ?"}


def test_raw_bytes_travel_unchanged() -> None:
    with server(reply()) as (base, seen):
        http.send(Request("PUT", base, {"Content-Type": "text/csv"}, body=b"a,b\n1,2\n"))
    assert seen[0][3] == b"a,b\n1,2\n"
    assert seen[0][2]["content-type"] == "text/csv"


def test_every_status_is_an_answer_not_an_error() -> None:
    for status in (204, 401, 404, 429, 500):
        with server(reply(status, b"" if status == 204 else b"no", Retry_After="7")) as (base, _):
            response = http.send(Request("GET", base))
        assert (response.status, response.json) == (status, None)
        assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_body_that_is_not_json_has_no_json(body: bytes) -> None:
    with server(reply(200, body)) as (base, _):
        response = http.send(Request("GET", base))
    assert response.json is None
    assert response.text


def test_a_body_in_an_unknown_character_set_is_still_readable() -> None:
    with server(reply(200, "é\0".encode(), Content_Type="text/plain; charset=klingon")) as (base, _):
        assert http.send(Request("GET", base)).text == "é\ufffd"


def test_what_json_cannot_say_is_refused_before_anything_travels() -> None:
    with server(reply()) as (base, seen):
        for value in (float("nan"), object(), {1, 2}):
            assert not refused(Request("POST", base, json={"value": value})).retryable
    assert seen == []


def test_two_sends_share_no_cookie() -> None:
    with server(reply(200, b"{}", Set_Cookie="sid=anna")) as (base, seen):
        http.send(Request("GET", base))
        http.send(Request("GET", base))
    assert all("cookie" not in headers for _, _, headers, _ in seen)


# --- the guard -----------------------------------------------------------------------------------------

HOSTILE = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://10.0.0.8/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_an_address_inside_is_not_reached_and_the_message_says_how_to_allow_it(
    url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(_: socket.socket, where: Any) -> None:
        pytest.fail(f"a connection to {where} was tried")

    monkeypatch.setattr(socket.socket, "connect", connect)
    settings.HOLDFAST_EGRESS_ALLOW = []
    error = refused(Request("GET", url, timeout=3))
    assert not error.retryable
    assert "HOLDFAST_EGRESS_ALLOW" in str(error)


def test_a_listening_local_server_is_not_reached_without_permission(settings: Settings) -> None:
    with server(reply()) as (base, seen):
        settings.HOLDFAST_EGRESS_ALLOW = []
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
            assert not refused(Request("GET", base.replace("127.0.0.1", host))).retryable
        assert seen == []
        settings.HOLDFAST_EGRESS_ALLOW = "10.0.0.0/8, 127.0.0.0/8"
        assert http.send(Request("GET", base)).status == 200


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The name service answers with these addresses, one list per look-up; the last one stays."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(str(host))
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_public_name_for_a_private_address_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["10.1.2.3"])
    error = refused(Request("GET", "http://models.example.org/"))
    assert "10.1.2.3 is a private address" in str(error)
    assert not error.retryable


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that changes its answer after the check finds nobody asking a second time."""
    with server(reply()) as (base, seen):
        asked = resolving(monkeypatch, ["127.0.0.1"], ["10.6.6.6"])
        assert http.send(Request("GET", base.replace("127.0.0.1", "rebind.example.org"))).status == 200
    assert asked == ["rebind.example.org"]
    assert seen[0][2]["host"].startswith("rebind.example.org")


def test_of_several_addresses_only_allowed_ones_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(reply()) as (base, seen):
        resolving(monkeypatch, ["10.6.6.6", "127.0.0.1"])
        assert http.send(Request("GET", base.replace("127.0.0.1", "both.example.org"))).status == 200
    assert len(seen) == 1


def test_public_addresses_are_reached_also_through_a_translator() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"):
        assert refusal(address, []) == ""


def test_an_unreadable_allow_list_is_named(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["home"]
    error = refused(Request("GET", "http://127.0.0.1/"))
    assert "'home'" in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "gopher://127.0.0.1/", "ftp://h/", "/path", "", "http://", "http://[::1"),
        *("http://h:port/", "http://h:99999/", "http://h:0/", "http://[1.2.3.4]/", "http://exa mple/"),
    ],
)
def test_what_is_not_a_web_address_is_refused(url: str) -> None:
    assert not refused(Request("GET", url)).retryable


@pytest.mark.parametrize("header", ["Bearer xoxb-…", "two\nlines", "\ud800"])
def test_a_header_that_cannot_be_written_is_refused_without_showing_it(header: str) -> None:
    with server(reply()) as (base, seen):
        error = refused(Request("GET", base, {"Authorization": header}))
    assert not error.retryable
    assert header not in str(error)
    assert seen == []


def test_proxies_of_the_environment_are_ignored_unless_settings_say_so(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with server(reply(200, b'"proxy"')) as (proxy, passed), server(reply(200, b'"direct"')) as (base, _):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert http.send(Request("GET", base)).json == "direct"
        settings.HOLDFAST_EGRESS_PROXY = True
        assert http.send(Request("GET", base)).json == "proxy"
        assert passed[0][1].startswith(base)
        settings.HOLDFAST_EGRESS_ALLOW = []
        assert not refused(Request("GET", base)).retryable


# --- redirects -----------------------------------------------------------------------------------------


def test_a_redirect_to_the_inside_is_stopped(settings: Settings) -> None:
    with (
        server(reply()) as (there, seen),
        server(redirect(307, there.replace("127.0.0.1", "127.0.0.2"))) as (base, _),
    ):
        settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.1/32"]
        error = refused(Request("GET", base))
    assert "127.0.0.2 is this machine itself" in str(error)
    assert seen == []
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (303, "POST", "GET"),
        (301, "GET", "GET"),
        (302, "GET", "GET"),
    ],
)
def test_only_307_and_308_carry_the_method_and_body_on(status: int, method: str, becomes: str) -> None:
    with server(reply()) as (there, seen), server(redirect(status, f"{there}/new")) as (here, _):
        http.send(Request(method, here, json={"a": 1} if method == "POST" else None))
    assert seen[0][:2] == (becomes, "/new")
    assert seen[0][3] == (b'{"a":1}' if becomes == "POST" else b"")


@pytest.mark.parametrize("status", [301, 302])
def test_a_post_is_never_turned_into_a_get_that_loses_the_message(status: int) -> None:
    with server(reply()) as (there, seen), server(redirect(status, there)) as (here, _):
        error = refused(Request("POST", here, json={"a": 1}))
    assert "set the connection to that address" in str(error)
    assert not error.retryable
    assert seen == []


def test_credentials_stay_with_their_host() -> None:
    headers = {"Authorization": "Bearer s3cr3t", "X-Api-Key": "s3cr3t", "X-Trace": "t1"}
    with server(reply()) as (there, seen), server(redirect(307, there)) as (here, _):
        http.send(Request("GET", here, headers))
    assert "authorization" not in seen[0][2]
    assert "x-api-key" not in seen[0][2]
    assert seen[0][2]["x-trace"] == "t1"


def test_credentials_go_along_on_the_same_host() -> None:
    def handle(handler: BaseHTTPRequestHandler) -> None:
        (redirect(307, "/moved") if handler.path == "/" else reply())(handler)

    with server(handle) as (base, seen):
        http.send(Request("POST", f"{base}/", {"Authorization": "Bearer s"}, {"a": 1}))
    assert seen[1][2]["authorization"] == "Bearer s"
    assert seen[1][3] == b'{"a":1}'


def test_a_body_with_a_secret_is_not_carried_to_another_host() -> None:
    with server(reply()) as (there, seen), server(redirect(307, there)) as (here, _):
        error = refused(Request("POST", here, json={"routing_key": "R0UT1NG"}), secrets=["R0UT1NG"])
    assert not error.retryable
    assert seen == []


def test_redirects_in_a_circle_end() -> None:
    with server(redirect(307, "/again")) as (base, seen):
        assert "redirects more than 3 times" in str(refused(Request("GET", base)))
    assert len(seen) == 4


# --- time and size -------------------------------------------------------------------------------------


def test_a_server_that_drips_does_not_outlive_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    assert_ends_in_time(drip)


def test_a_server_that_drips_its_headers_does_not_either() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            connection.sendall(f"X-{number}: y\r\n".encode())
            time.sleep(0.05)

    assert_ends_in_time(drip)


def test_a_body_of_unknown_length_that_is_cut_by_the_deadline_is_not_taken_for_complete() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    assert_ends_in_time(drip)


def test_a_silent_server_does_not_either() -> None:
    assert_ends_in_time(lambda connection: time.sleep(2))


def assert_ends_in_time(talk: Callable[[socket.socket], None]) -> None:
    with raw_server(talk) as base:
        started = time.monotonic()
        error = refused(Request("GET", base, timeout=0.5))
        took = time.monotonic() - started
    assert error.retryable
    assert "0.5 s" in str(error)
    assert took < 1.5


def test_a_huge_answer_is_cut_and_says_so() -> None:
    with server(reply(200, b"[" + b"1," * 2_000_000 + b"1]")) as (base, _):
        response = http.send(Request("GET", base))
    assert len(response.text) < http.MAX_BYTES + 100
    assert response.text.endswith("[cut at 1048576 bytes]")
    assert response.json is None


def test_a_compressed_bomb_is_cut_by_what_it_becomes() -> None:
    bomb = gzip.compress(b"0" * 200_000_000, 9)
    with server(reply(200, bomb, Content_Encoding="gzip")) as (base, _):
        response = http.send(Request("GET", base))
    assert len(response.text) < http.MAX_BYTES + 100


def test_a_connection_that_breaks_off_can_be_tried_again() -> None:
    for talk in (
        lambda connection: None,
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        lambda connection: connection.sendall(b"not http at all\r\n\r\n"),
    ):
        with raw_server(talk) as base:
            error = refused(Request("GET", base, timeout=5))
        assert error.retryable
        assert "Could not reach 127.0.0.1" in str(error)


def test_nobody_listening_and_no_such_name_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(Request("GET", f"http://127.0.0.1:{free_port()}/?token=s3cr3t", timeout=3))
    assert error.retryable
    assert str(error) == "Could not reach 127.0.0.1: the connection was refused."

    def nothing(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    error = refused(Request("GET", "https://nowhere.example.org/hook/s3cr3t"))
    assert error.retryable
    assert str(error) == "Could not reach nowhere.example.org: the name does not resolve."


def test_plain_text_where_tls_is_expected_is_refused() -> None:
    with server(reply()) as (base, seen):
        error = refused(Request("GET", base.replace("http:", "https:"), timeout=3))
    assert "TLS" in str(error)
    assert seen == []


def test_tls_is_verified_against_the_name_although_the_address_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.HOLDFAST_CA_BUNDLE, tls = identity("jira.example.org", tmp_path)
    resolving(monkeypatch, ["127.0.0.1"])
    with server(reply(200, b'"hello"'), tls=tls) as (base, seen):
        port = base.rpartition(":")[2]
        assert http.send(Request("GET", f"https://jira.example.org:{port}/")).json == "hello"
        assert "TLS" in str(refused(Request("GET", f"https://evil.example.org:{port}/")))
    assert len(seen) == 1


def test_a_dripping_server_behind_tls_does_not_outlive_the_deadline_either(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.HOLDFAST_CA_BUNDLE, tls = identity("jira.example.org", tmp_path)
    resolving(monkeypatch, ["127.0.0.1"])

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b"x")
                time.sleep(0.05)

    with server(drip, tls=tls) as (base, _):
        started = time.monotonic()
        error = refused(
            Request("GET", base.replace("http://127.0.0.1", "https://jira.example.org"), timeout=0.5)
        )
    assert error.retryable
    assert time.monotonic() - started < 2


def identity(name: str, folder: Path) -> tuple[str, ssl.SSLContext]:
    """A certificate for `name` that vouches for itself: the bundle to trust, and the server's side."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, unlocked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, unlocked))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return str(folder / "cert.pem"), context


def test_data_sets_are_fetched_up_to_their_limit() -> None:
    with server(reply(200, b"a,b\n1,2\n")) as (base, _):
        assert http.fetch_bytes(f"{base}/data.csv", 100) == b"a,b\n1,2\n"
        with pytest.raises(SendError, match="bigger than 4 bytes") as caught:
            http.fetch_bytes(f"{base}/data.csv", 4)
        assert not caught.value.retryable
    for status, retryable in ((404, False), (503, True)):
        with server(reply(status)) as (base, _), pytest.raises(SendError, match=str(status)) as caught:
            http.fetch_bytes(base, 100)
        assert caught.value.retryable is retryable


# --- conversations and secrets -------------------------------------------------------------------------


def two_steps(base: str, *, brave: bool = False) -> Conversation:
    first = yield Request(
        "POST", f"{base}/one", {"Authorization": "Bearer s3cr3t"}, {"key": "s3cr3t", "a": 1}
    )
    try:
        yield Request("GET", f"http://127.0.0.1:{free_port()}/two")
    except SendError:
        if not brave:
            raise
    return Sent(remote_id=str(first.status))


def test_a_conversation_is_driven_to_its_end_and_its_transcript_hides_secrets() -> None:
    with server(reply(200, b'{"echo": "s3cr3t"}', Set_Cookie="sid=1")) as (base, seen):
        sent, transcript = http.run(two_steps(base, brave=True), secrets=["s3cr3t"])
    assert sent.remote_id == "200"
    assert json.loads(seen[0][3])["key"] == "s3cr3t"
    assert [outcome.get("status") for _, outcome in transcript] == [200, None]
    assert "refused" in transcript[1][1]["error"]
    kept = json.dumps(transcript)
    assert "s3cr3t" not in kept
    assert "sid=1" not in kept
    assert transcript[0][0]["body"]["a"] == 1


def test_a_failed_conversation_tells_how_far_it_came() -> None:
    with server(reply()) as (base, _), pytest.raises(SendError) as caught:
        http.run(two_steps(base))
    assert caught.value.retryable
    assert len(caught.value.transcript) == 2


def test_a_refusal_by_the_provider_carries_the_transcript_too() -> None:
    def conversation(base: str) -> Conversation:
        response = yield Request("GET", base)
        raise SendError(f"answered {response.status}", retryable=False)

    with server(reply(401)) as (base, _), pytest.raises(SendError, match="answered 401") as caught:
        http.run(conversation(base))
    assert caught.value.transcript[0][1]["status"] == 401


def test_a_vendor_that_repeats_our_credentials_does_not_bring_them_into_the_error() -> None:
    def conversation(base: str) -> Conversation:
        response = yield Request("GET", base)
        raise SendError(f"refused: {response.text}", retryable=False)

    with server(reply(400, b"unknown key s3cr3t")) as (base, _), pytest.raises(SendError) as caught:
        http.run(conversation(base), secrets=["s3cr3t"])
    assert str(caught.value) == "refused: unknown key •••"


def test_the_log_names_the_host_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with server(reply()) as (base, _):
        http.send(
            Request("GET", f"{base}/hook/s3cr3t?api_key=k3y", {"Authorization": "Basic cGFzcw=="}),
            secrets=["s3cr3t"],
        )
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("integrations"))
    assert "127.0.0.1" in ours
    assert not any(hidden in ours for hidden in ("s3cr3t", "k3y", "cGFzcw"))


@pytest.mark.parametrize(
    "shown",
    [
        "token s3/cr=t here",
        '{"token": "s3\\/cr=t"}',
        "https://h/?q=s3%2Fcr%3Dt",
        {"Authorization": "Bearer s3/cr=t", "nested": [{"x": ("s3/cr=t",)}]},
        {"s3/cr=t": "a name"},
        "Authorization: Bearer s3/cr=t",
    ],
)
def test_a_secret_is_masked_in_every_form_and_depth(shown: Any) -> None:
    masked = json.dumps(mask(shown, ["s3/cr=t"]))
    assert "s3/cr=t" not in masked
    assert "cr=t" not in masked
    assert "s3%2Fcr%3Dt" not in masked


def test_a_secret_at_the_cut_of_a_transcript_leaves_no_half_behind() -> None:
    def conversation(base: str) -> Conversation:
        yield Request("GET", base)
        return Sent()

    text = b"x" * (http.KEPT_CHARACTERS - 4) + b"s3cr3t-and-long"
    with server(reply(200, text)) as (base, _):
        _, transcript = http.run(conversation(base), secrets=["s3cr3t-and-long"])
    assert "s3cr" not in str(transcript)


def test_credentials_are_masked_by_their_names_and_facts_are_not() -> None:
    shown = {"Cookie": "a", "routing_key": "b", "apiKey": "c", "dedup_key": "INC-7", "max_tokens": 128}
    assert mask(shown) == {
        "Cookie": "•••", "routing_key": "•••", "apiKey": "•••", "dedup_key": "INC-7", "max_tokens": 128,
    }  # fmt: skip
    assert shown_url("https://ann:pw@h/p?a=1&api_token=zz#f") == "https://•••@h/p?a=1&api_token=•••#f"


def test_responses_carry_their_time() -> None:
    with server(reply()) as (base, _):
        response: Response = http.send(Request("GET", base))
    assert 0 < response.elapsed < 5
