"""The process behind Interpreter.kt: takes a .tflite file, then ids and their length, and gives what is found; numbers are big-endian."""

from __future__ import annotations

import struct
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def number() -> int:
    """The next one; ends the process where there is none."""
    content = sys.stdin.buffer.read(4)
    if len(content) < 4:
        sys.exit()
    return int(struct.unpack(">i", content)[0])


runner = Interpreter(model_content=sys.stdin.buffer.read(number())).get_signature_runner("translate")
while True:
    size = number()
    ids = np.frombuffer(sys.stdin.buffer.read(4 * size), ">i4").astype(np.int32)[None]
    found = runner(source_ids=ids, length=np.array([number()], np.int32))
    answer = struct.pack(">i", found["ids"].shape[1]) + found["ids"].astype(">i4").tobytes() + struct.pack(">f", found["score"].item())
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
