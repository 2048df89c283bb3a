"""What lies between a process and its store: connections that can be silenced without anybody being told, or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final, final

Address = tuple[str, int]


@final
class Proxy:
    """Passes bytes on, both ways, until it is silenced; connections stay open meanwhile, and say nothing."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """port, host: of the server."""
        self._target: Final[Address] = (host, port)
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

    def sever(self) -> None:
        """End all connections there are; new ones may be made."""
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The end; what was not passed on yet never is."""
        self.sever()
        self._is_open.set()
        self._listening.shutdown(socket.SHUT_RDWR)  # which wakes whoever accepts
        self._accepting.join()
        self._listening.close()
        self.sever()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self._sockets.append(near)
                try:
                    far = socket.create_connection(self._target)
                except OSError:  # the server is not there
                    near.close()
                    continue
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
