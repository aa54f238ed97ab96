"""Which precision the matrix products run in."""

from __future__ import annotations

from pathlib import Path

import keras


def resolve_precision(asked: str) -> str:
    """ "float32" or "bfloat16"; "auto" takes bfloat16 where the hardware multiplies it natively."""
    if asked != "auto":
        return asked
    if keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return "bfloat16"
    return "bfloat16" if keras.backend.backend() == "tensorflow" and _cpu_multiplies_bfloat16() else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    # Without the instructions bfloat16 is emulated, at a fraction of float32's speed.
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
