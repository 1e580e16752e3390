"""The paper's experiments, on any pipeline and tasks: what ``ntrk bench`` runs."""

from .task import Function, Task

__all__ = ["Function", "Task"]
