"""The Ray cluster that a recipe names: a connection to it, and what it has room for."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cruxtune.errors import ClusterError
from cruxtune.recipe.sections import ClusterSection


@contextmanager
def connected(settings: ClusterSection) -> Iterator[None]:
    """To the cluster that the settings or RAY_ADDRESS name, else to one on this machine."""
    try:
        import ray
    except ImportError as error:
        raise ClusterError("--ray needs Ray: pip install 'cruxtune[ray]'") from error
    if ray.is_initialized():
        yield
        return
    address = settings.address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {} if address else {"num_cpus": _own_cpus(settings), "include_dashboard": False}
    try:
        ray.init(address=address or "local", logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"can't reach the Ray cluster at {address}: {str(error).splitlines()[0]}"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def num_actors(settings: ClusterSection) -> int:
    """As asked, or as many as the cluster has room for."""
    if settings.num_actors is not None:
        return settings.num_actors
    import ray

    resources = ray.cluster_resources()
    if resources.get("GPU") and settings.gpus_per_actor != 0:
        return max(1, int(resources["GPU"] // (settings.gpus_per_actor or 1)))
    return max(1, int(resources.get("CPU", 1) // settings.cpus_per_actor))


def gpus_of_an_actor(settings: ClusterSection) -> float:
    """As asked, or one where the cluster has any."""
    if settings.gpus_per_actor is not None:
        return settings.gpus_per_actor
    import ray

    return 1.0 if ray.cluster_resources().get("GPU") else 0.0


def _own_cpus(settings: ClusterSection) -> int:
    """Of a cluster on this machine: Ray counts them but doesn't bind them, so that more may be declared."""
    wanted = (settings.num_actors or 1) * settings.cpus_per_actor
    return max(os.cpu_count() or 1, round(wanted + 0.5))
