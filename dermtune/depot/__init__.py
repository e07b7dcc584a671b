"""A storage between nodes that share no folder: trials send what they leave, the driver brings it home."""

from dermtune.depot.carrying import Carrier, attempts_at, make_room
from dermtune.depot.keeping import collect, depot_of, settle
from dermtune.depot.parcels import Damaged, Depot
from dermtune.depot.store import DepotError, Store

__all__ = [
    "Carrier",
    "Damaged",
    "Depot",
    "DepotError",
    "Store",
    "attempts_at",
    "collect",
    "depot_of",
    "make_room",
    "settle",
]
