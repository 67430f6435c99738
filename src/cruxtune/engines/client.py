"""JSON over HTTP: many requests at a time, and another try where a server is busy or away."""

import asyncio
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import httpx2

from cruxtune.errors import ModelError

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the second try and before any later one; in between they double."""


class RefusedError(ModelError):
    """The server understood the request and will not do it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Requests run on an event loop in a thread of its own, so that cancelling one ends it at the server."""

    def __init__(
        self, url: str, key: str | None, timeout: float, num_retries: int, max_connections: int
    ) -> None:
        self.url = url.rstrip("/")
        self._num_retries = num_retries
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(timeout, pool=None),
            limits=httpx2.Limits(max_connections=max_connections + 1),
        )
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        weakref.finalize(self, _close, self._http, self._loop, thread)

    def start(self, address: str, body: Mapping[str, Any] | None = None) -> Future[Any]:
        """What the server answers, once it does; a body is posted. Raises ModelError after the last try."""
        return asyncio.run_coroutine_threadsafe(
            _ask(self._http, address, body, self._num_retries), self._loop
        )

    def ask(self, address: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.start(address, body).result()


async def _ask(
    http: httpx2.AsyncClient, address: str, body: Mapping[str, Any] | None, num_retries: int
) -> Any:
    wait = FIRST_WAIT
    for num_left in reversed(range(num_retries + 1)):
        try:
            response = await http.request("POST" if body is not None else "GET", address, json=body)
        except httpx2.UnsupportedProtocol as error:
            raise ModelError(f"engine.url makes {address!r}, which is no address: {error}") from error
        except httpx2.TransportError as error:
            problem = f"can't reach {address} ({str(error) or type(error).__name__})"
        except (httpx2.InvalidURL, ValueError) as error:
            raise ModelError(f"engine.url makes {address!r}, which is no address: {error}") from error
        else:
            if response.status_code != 429 and response.status_code < 500:
                return _content(response)
            problem = f"{address} answers {_complaint(response)}"
        if num_left:
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
    raise ModelError(
        f"{problem}, {num_retries + 1} times: start the server, or set engine.url; what is done is kept"
    )


def _content(response: httpx2.Response) -> Any:
    if response.is_error:
        raise RefusedError(response.status_code, f"{response.url} answers {_complaint(response)}")
    try:
        return response.json()
    except ValueError as error:
        raise ModelError(
            f"{response.url} answers no JSON: is engine.url an OpenAI-compatible one?"
        ) from error


def _complaint(response: httpx2.Response) -> str:
    """Status and reason in one line, wherever the server puts it."""
    try:
        content = response.json()
        error = content.get("error", content)
        reason = error if isinstance(error, str) else error.get("message") or error.get("detail") or error
    except (ValueError, AttributeError):
        reason = response.text
    return f"{response.status_code} {' '.join(str(reason).split())[:300]}".strip()


def _close(http: httpx2.AsyncClient, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Close the connections, then end the loop's thread."""

    async def close() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await http.aclose()
        loop.stop()

    asyncio.run_coroutine_threadsafe(close(), loop)
    if threading.current_thread() is not thread:
        thread.join(timeout=5)
        if not thread.is_alive():
            loop.close()
