"""An ordered map over threads: bounded, so that memory stays flat; failures stay with their item."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Fetched(Generic[Item, Result]):
    """An item with what the function gave for it, or the exception that it raised."""

    item: Item
    result: Result | None = None
    error: Exception | None = None

    def value(self) -> Result:
        """The result.

        Raises:
            Exception: what the function raised.
        """
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 2, ahead: int = 8
) -> Generator[Fetched[Item, Result], None, None]:
    """Apply a function to items in threads and yield the outcomes in the order of the items.

    At most `workers + ahead` items are taken before the first of them has been handed out. Closing the iterator (or an
    exception in the consumer) cancels what has not begun and waits for what has. An exception of the iterable itself
    is raised after the outcomes of the items before it.

    Args:
        function: called in a worker thread; an `Exception` that it raises becomes `Fetched.error`.
        items: read in the caller's thread.
        workers: threads; 0 calls the function in the caller's thread.
        ahead: finished or waiting items beyond the number of workers.
    """
    if workers < 1:
        for item in items:
            yield attempt(function, item)
        return
    waiting: deque[Future[Fetched[Item, Result]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vlcli-prefetch")
    source = iter(items)
    failure: Exception | None = None
    try:
        while True:
            while failure is None and len(waiting) < workers + ahead:
                try:
                    item = next(source)
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 (raised below, after the items that came before it)
                    failure = error
                    break
                waiting.append(pool.submit(attempt, function, item))
            if not waiting:
                break
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def attempt(function: Callable[[Item], Result], item: Item) -> Fetched[Item, Result]:
    """Call the function and keep what it gives or raises beside the item."""
    try:
        return Fetched(item, function(item))
    except Exception as error:  # noqa: BLE001 (kept with its item; the consumer decides)
        return Fetched(item, None, error)
