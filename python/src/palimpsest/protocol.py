"""The connection to the bench (docs/external.md): JSON lines over the socket that PALIMPSEST_SOCKET names, or pipes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import Any, Dict, Optional, Sequence, Tuple

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
        self._send(text.encode() + b"\n")

    def hear(self) -> Tuple[str, Dict[str, Any]]:
        """The next message: its kind and content."""
        while b"\n" not in self._begun:
            piece = self._receive()
            if not piece:
                raise Refused(self._gone())
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

    def _send(self, line: bytes) -> None:
        self._socket.sendall(line)

    def _receive(self) -> bytes:
        return self._socket.recv(1 << 16)

    def _gone(self) -> str:
        return "the bench is gone"

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()


class Recorder(Connection):
    """A bench of this program's own: `palimpsest record`, which it starts and speaks to by pipes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._begun, self._over, self._ours = b"", False, True
        #: What became of the run, once it was heard.
        self._recorded: Optional[Dict[str, Any]] = None
        try:
            # In a session of its own: Ctrl-C is for the script, which then says why it is over.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:
            raise Refused(f"{command[0]} does not start ({error}); give its path as program=") from None

    def hear(self) -> Tuple[str, Dict[str, Any]]:
        """The next message; from then on it is this side's turn."""
        kind, content = super().hear()
        self._ours = True
        if kind == "recorded":
            self._recorded = content
        return kind, content

    def give_up(self, reason: str) -> None:
        """Says why it is over, when this side may speak."""
        if not self._ours:
            self.hear()
        if self._recorded is None:
            self.say("error", reason=reason)

    def outcome(self) -> Dict[str, Any]:
        """What became of the run."""
        while self._recorded is None:
            try:
                self.hear()
            except Refused:
                # It says once more why a run is over that failed.
                if self._over:
                    raise
        return self._recorded

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._ours = False
        try:
            self._process.stdin.write(line)
        except BrokenPipeError:
            # What it said last tells why.
            while True:
                self.hear()

    def _receive(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.read(1 << 16) or b""

    def _gone(self) -> str:
        self._over = True
        return f"palimpsest record is gone: it ended with status {self._process.wait()}"

    def close(self) -> None:
        """Waits until the record is written."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()
