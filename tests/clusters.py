"""A Ray cluster of several nodes on this machine."""

import contextlib
from collections.abc import Iterator

from ray.cluster_utils import Cluster


@contextlib.contextmanager
def two_nodes() -> Iterator[Cluster]:
    """Two nodes of one core each, the first the head."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()
