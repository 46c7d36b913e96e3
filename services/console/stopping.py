"""Asynchronous work from synchronous code, on a terminal or in a notebook, and how it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from services.kit.tuning import new_event_loop

T = TypeVar("T")


def run_to_end(
    work: Callable[[asyncio.Event], Coroutine[Any, Any, T]], on_stop: Callable[[], None] | None = None
) -> T:
    """Run ``work`` from synchronous code, also where an event loop is running (a notebook's).

    Ctrl-C and SIGTERM set the event that ``work`` is given, so that it can end in good order; a second
    one cancels it. ``on_stop`` hears of the first.

    Raises:
        KeyboardInterrupt: it was cancelled.
    """
    stopping = Stopping(on_stop)

    async def main() -> T:
        task = asyncio.create_task(work(stopping.stop))
        stopping.begin(task)
        with handled_signals(stopping.interrupted):
            try:
                return await task
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None

    return run_through(main, stopping.interrupted_from_outside)


def run_through(
    work: Callable[[], Coroutine[Any, Any, T]], interrupted: Callable[[], None] | None = None
) -> T:
    """Run ``work`` from synchronous code; in a thread of its own where an event loop is running.

    There, ``interrupted`` is called on Ctrl-C, and the work waited for; without it Ctrl-C leaves at once.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work())
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(_run(work()))
        except BaseException as error:  # noqa: BLE001  (handed to the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=body, name="tds", daemon=True)
    thread.start()
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt:
            if interrupted is None:
                raise
            interrupted()
    if errors:
        raise errors[0]
    return results[0]


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


class Stopping:
    """Turns the first interruption into a request to stop, and the second into a cancellation."""

    def __init__(self, on_stop: Callable[[], None] | None) -> None:
        self.stop = asyncio.Event()
        self._on_stop = on_stop
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """``task`` is what is to be stopped."""
        self._task = task
        self._loop = asyncio.get_running_loop()

    def interrupted(self) -> None:
        """Called in the loop."""
        if self.stop.is_set():
            if self._task is not None:
                self._task.cancel()
            return
        self.stop.set()
        if self._on_stop is not None:
            self._on_stop()

    def interrupted_from_outside(self) -> None:
        """Called in another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.interrupted)


@contextlib.contextmanager
def handled_signals(handler: Callable[[], None]) -> Iterator[None]:
    """Call ``handler`` on SIGINT and SIGTERM; does nothing outside of the main thread."""
    loop = asyncio.get_running_loop()
    numbers = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, handler)
            numbers.append(number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
