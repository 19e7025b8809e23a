"""Reach a Dask scheduler, or start workers on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from ..errors import UsageError

_TIMEOUT_S = 20
_THREADS_PER_WORKER = 1
"""A worker has one model; a second thread would only wait for it."""


@contextlib.contextmanager
def connect(address: str) -> Iterator[Any]:
    """Yield a Dask client.

    Args:
        address: `tcp://host:port` of a scheduler, or `local[:N]` for N worker processes here.

    Raises:
        UsageError: Dask is not installed, the address is malformed or nobody answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UsageError("--dask needs Dask; install it with: pip install 'miassam[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.ERROR)  # its warnings name nothing a user could mend
    with contextlib.ExitStack() as stack:
        if address.split(":")[0] == "local":
            cluster: Any = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=_n_local(address),
                threads_per_worker=_THREADS_PER_WORKER,
                processes=True,
                dashboard_address=None,
            )
            yield stack.enter_context(_client(Client, stack.enter_context(cluster)))
            return
        try:
            client = stack.enter_context(_client(Client, address))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`, or give local[:N]"
            ) from error
        yield client


def _client(client_class: Any, target: Any) -> Any:
    return client_class(target, timeout=_TIMEOUT_S)


def _n_local(address: str) -> int:
    words = address.partition(":")[2]
    if not words:
        return max((os.cpu_count() or 2) // 2, 1)
    if not words.isdigit() or int(words) < 1:
        raise UsageError(f"--dask {address} is malformed; give local or local:N with N worker processes")
    return int(words)
