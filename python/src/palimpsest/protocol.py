"""The connection to the bench (docs/external.md): JSON lines over the socket that PALIMPSEST_SOCKET names."""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Dict, Tuple

VERSION = 1
SOCKET = "PALIMPSEST_SOCKET"


class Refused(Exception):
    """The bench gives up, or the two do not understand each other."""


class Connection:
    """Says and hears messages: objects of one key."""

    def __init__(self, path: str = "") -> None:
        path = path or os.environ.get(SOCKET, "")
        if not path:
            raise Refused(f"{SOCKET} is not set: the bench starts this program, as an arm with a `command`")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._begun = b""

    def say(self, kind: str, /, **content: Any) -> None:
        """Says a message."""
        text = json.dumps({kind: content}, allow_nan=False, separators=(",", ":"))
        self._socket.sendall(text.encode() + b"\n")

    def hear(self) -> Tuple[str, Dict[str, Any]]:
        """The next message: its kind and content."""
        while b"\n" not in self._begun:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise Refused("the bench is gone")
            self._begun += piece
        line, self._begun = self._begun.split(b"\n", 1)
        message = json.loads(line)
        if not isinstance(message, dict) or len(message) != 1:
            raise Refused(f"the bench said {line[:100]!r}, which is no message")
        ((kind, content),) = message.items()
        if kind == "error":
            raise Refused(content.get("reason", "the bench gave no reason"))
        return kind, content

    def expect(self, wanted: str) -> Dict[str, Any]:
        """The content of the next message, which must be of this kind."""
        kind, content = self.hear()
        if kind != wanted:
            raise Refused(f"the bench said `{kind}` where `{wanted}` was due")
        return content

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()
