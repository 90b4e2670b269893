"""Prices for the cost estimate."""

from __future__ import annotations

from pydantic import Field

from linnet.config.section import Section


class CostConfig(Section):
    currency: str = Field(default="USD", max_length=8)
    """Name of the currency of the prices."""
    cpu_hour: float = Field(default=0.032, ge=0, allow_inf_nan=False)
    """Price of one processor core for an hour (default: about an n1 vCPU at Google Cloud, on demand)."""
    memory_gb_hour: float = Field(default=0.0043, ge=0, allow_inf_nan=False)
    """Price of one GB of memory for an hour (default: as above)."""
    gpu_hour: float = Field(default=0.35, ge=0, allow_inf_nan=False)
    """Price of one GPU for an hour (default: about an NVIDIA T4 there)."""
