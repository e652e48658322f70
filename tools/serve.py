"""Show the built site on this machine: ``python -m tools.serve [PORT]``."""

from __future__ import annotations

import argparse
import functools
import http.server
import sys
from collections.abc import Sequence
from pathlib import Path

SITE = Path(__file__).resolve().parents[1] / "_build/html"
HOST = "127.0.0.1"  # nobody else on the network sees it
FURTHER_PORTS = 20


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line in the terminal for each."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".ipynb": "application/x-ipynb+json",
        ".js": "text/javascript",
        ".whl": "application/octet-stream",
        ".woff2": "font/woff2",
    }

    def log_message(self, format: str, *args: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # a rebuilt page is seen at once
        super().end_headers()


def server(site: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of a folder, not yet started.

    Args:
        site: The folder.
        port: The port to listen on; 0 takes any that is free.

    Raises:
        OSError: The port is taken.
    """
    handler = functools.partial(Handler, directory=str(site))
    return http.server.ThreadingHTTPServer((HOST, port), handler)


def first_free(site: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server on this port, or on the next one that is free.

    Raises:
        OSError: None of the next twenty is.
    """
    for candidate in range(port, port + FURTHER_PORTS):
        try:
            return server(site, candidate)
        except OSError:
            print(f"Port {candidate} is taken.")
    raise OSError(f"no free port from {port} to {port + FURTHER_PORTS - 1}; name another one")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tools.serve")
    parser.add_argument("port", nargs="?", type=int, default=8000)
    port = parser.parse_args(arguments).port
    if not (SITE / "index.html").is_file():
        print("make: there is no site yet; run `make book` first.", file=sys.stderr)
        return 1
    try:
        with first_free(SITE, port) as running:
            print(f"The book is at http://{HOST}:{running.server_port}/ (Ctrl-C ends)", flush=True)
            running.serve_forever()
    except OSError as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
