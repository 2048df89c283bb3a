"""What can go wrong, by whose doing.

Two roots under `HerdlessError` keep misuse apart from what happened to a load: `MisuseError` says that
the caller's code is wrong (retrying cannot help), `LoadError` that this load gave no value (retrying may).
The loader's own exception is in neither: it reaches the callers as it is.
"""

from __future__ import annotations

from typing import Any


class HerdlessError(Exception):
    """The root of every error that herdless itself raises.

    All of them can be copied and pickled with their attributes, whatever their constructor asks for.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Made again without the constructor."""
        return _restored, (type(self), self.args), vars(self) or None


def _restored(kind: type[HerdlessError], args: tuple[Any, ...]) -> HerdlessError:
    error = kind.__new__(kind)
    error.args = args
    return error


class MisuseError(HerdlessError):
    """The calling code is wrong; the same call will fail again."""


class PolicyError(MisuseError, ValueError):
    """An argument is outside of what is accepted: names the argument, the value and the accepted range."""


class ReentrantLoad(MisuseError):
    """A loader asked, directly or through other keys, for a key that waits for that very loader."""


class NoLoader(MisuseError, LookupError):
    """Nothing is known of the key, and neither this lookup nor the cache has a loader to ask for it."""


class CacheClosed(MisuseError):
    """The cache was closed, or was never opened, where the runtime asks for it."""


class LoadError(HerdlessError):
    """A load gave neither a value nor an exception of its own."""


class LoadTimeout(LoadError, TimeoutError):
    """The load did not end within `load_timeout`; if it still ends, its result is dropped."""


class LoadCancelled(LoadError):
    """The load was cancelled, or ended by an exception that is not an `Exception`; that one is the `__cause__`."""


class TooManyWaiters(LoadError):
    """`max_waiters` callers wait for this load already."""


class TooManyLoads(LoadError, TimeoutError):
    """`max_loads` loads ran until this one's `load_timeout` had passed: it was not begun."""


class StoreDown(HerdlessError):
    """The store of a fleet could not be asked, or did not answer in time. What was asked for may have been done."""


class RemoteLoadError(LoadError):
    """The loader raised this where its exception could not be kept: in another process, or before a restart.

    Its text is the message of that exception, `kind` the name of that exception's class.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def is_memorable(error: BaseException) -> bool:
    """Whether `negative_ttl` may remember this error.

    Only what the loader says of the KEY, here or elsewhere: not that a load was cut short, nor that the program is
    wrong.
    """
    return isinstance(error, RemoteLoadError) or (isinstance(error, Exception) and not isinstance(error, HerdlessError))
