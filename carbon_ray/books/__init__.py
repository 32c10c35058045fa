"""The ledger: what ran, what it drew, what that emitted and cost, and every decision with its reason."""

from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import NodeEvent, NodeEventKind, WorkloadRecord, WorkloadStatus

__all__ = ["Ledger", "NodeEvent", "NodeEventKind", "WorkloadRecord", "WorkloadStatus"]
