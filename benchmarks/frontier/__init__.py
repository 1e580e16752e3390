"""Typicality against alignment: what each operator keeps of a direction, and whether that is seen.

``python -m benchmarks.frontier`` writes the table and the figure of ``docs/presets.md``.
"""
