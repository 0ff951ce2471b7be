import os
from types import TracebackType
from typing import Iterable, Optional, SupportsIndex, Type, Union, final

from typing_extensions import Self

from ._balance import Balance

__all__ = ["ADD_MAX", "Client", "ProgressQueue", "VERSION"]

ADD_MAX: int
VERSION: str

_Key = Union[str, bytes, os.PathLike[str]]

@final
class Client:
    def __new__(
        cls,
        server: str,
        *,
        identity: Optional[_Key] = None,
        trust: Optional[Union[_Key, Iterable[_Key]]] = None,
        outbox: Optional[Union[str, os.PathLike[str]]] = None,
        home: Optional[Union[str, os.PathLike[str]]] = None,
        passphrase: Optional[Union[str, bytes]] = None,
        suite: str = "hybrid",
        adopt: bool = False,
        timeout: Optional[float] = None,
        patience: Optional[float] = None,
        network_timeout: Optional[float] = 10.0,
    ) -> Self: ...
    def add(
        self,
        values: Union[SupportsIndex, Iterable[SupportsIndex]],
        /,
        *,
        timeout: Optional[float] = None,
    ) -> None: ...
    def flush(self, timeout: Optional[float] = None) -> Balance: ...
    def total(self, timeout: Optional[float] = None) -> Balance: ...
    def close(self, timeout: Optional[float] = None) -> Balance: ...
    def leave(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: Optional[Type[BaseException]] = None,
        value: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
        /,
    ) -> None: ...

@final
class ProgressQueue:
    def next(self) -> Optional[tuple[int, str]]: ...
