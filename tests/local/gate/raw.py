"""Requests byte for byte, as no client would send them."""

import http.client
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True)
class Answer:
    """What came back; `status` is 0 when nothing did."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(port: int, request: bytes, *, seconds: float = 120) -> Answer:
    """Send bytes to the port of loopback, and read the first answer to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            if not (chunk := connection.recv(65536)):
                return Answer(0, {}, received)
            received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = headers.get("content-length")
        while length is None or len(body) < int(length):
            if not (chunk := connection.recv(65536)):
                break
            body += chunk
    return Answer(int(status.split()[1]), headers, body)


def request(
    method: str, target: str, headers: dict[str, str], body: bytes = b"", *, version: str = "1.1"
) -> bytes:
    """A request with these headers and no others but its length, and that it is the last."""
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Connection: close", *([f"Content-Length: {len(body)}"] if body else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fetch(
    url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    """Ask without a name server: `BUCKET.localhost` is this machine by its Host alone."""
    split = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", split.port, timeout=120)
    connection.request(
        method,
        urlunsplit(("", "", split.path, split.query, "")),
        body,
        {"Host": split.netloc, **headers},
    )
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def form(url: str, fields: dict[str, str], file: bytes) -> tuple[int, bytes]:
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts.append(b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
    body = b"".join([*parts, file, b"\r\n--edge--\r\n"])
    return fetch(url, "POST", body, **{"Content-Type": "multipart/form-data; boundary=edge"})
