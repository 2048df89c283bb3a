"""What lies between a process and its store: a connection that a test can silence without anybody being told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final


class Proxy:
    """Passes bytes on, both ways, until it is cut; connections stay open meanwhile, and say nothing."""

    def __init__(self, port: int) -> None:
        """port: of the server, on loopback."""
        self._target: Final = port
        self._listening: Final = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listening.getsockname()[1]
        self.url: Final = f"redis://127.0.0.1:{self.port}/0"
        self._is_open: Final = threading.Event()
        self._is_open.set()
        self.delay = 0.0
        """Seconds by which all arrives later."""
        self._sockets: Final[list[socket.socket]] = []
        self._accepting: Final = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """Nothing arrives any more, on old and new connections."""
        self._is_open.clear()

    def mend(self) -> None:
        """All arrives, what was sent meanwhile too."""
        self._is_open.set()

    def close(self) -> None:
        """The end of the test."""
        self._is_open.set()
        self._listening.shutdown(socket.SHUT_RDWR)  # which wakes whoever accepts
        self._accepting.join()
        self._listening.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self._sockets.append(near)
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(far)
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._is_open.wait()
                time.sleep(self.delay)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
