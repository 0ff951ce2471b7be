"""What happens to sessions, through Python's logging."""

import logging
import threading

from ._ddes import ProgressQueue

_logger = logging.getLogger("ddes")
_logger.addHandler(logging.NullHandler())


def follow(queue: ProgressQueue) -> None:
    """Logs what the queue of a client gives, on a thread of its own, until the client ends."""
    thread = threading.Thread(target=_log, args=(queue,), name="ddes-log", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        # The system gives no thread, or the interpreter ends: the client works all the same.
        _logger.warning("what happens to the session is not logged: %s", error)


def _log(queue: ProgressQueue) -> None:
    while True:
        line = queue.next()
        if line is None:
            return
        level, text = line
        _logger.log(level, "%s", text)
