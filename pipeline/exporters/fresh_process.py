"""A SavedModel tried where it will be used: in a new Python that imports nothing but tensorflow and tensorflow_text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import UserError
from pipeline.support.quiet import last_lines

# Texts in one batch; ids one sentence at a time, timed, the first of them twice: it warms up.
_PROGRAM = """
import json, sys, time
import tensorflow as tf, tensorflow_text
folder, asked, answered = sys.argv[1:]
with open(asked, encoding="utf-8") as file:
    texts, source_ids = json.load(file)
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
signatures = tf.saved_model.load(folder).signatures
answer = {name: tensor.numpy().tolist() for name, tensor in signatures["serving_default"](texts=tf.constant(texts)).items()}
answer["translations"] = [text.decode() for text in answer["translations"]]
answer["ids"], answer["milliseconds"] = [], []
signatures["ids"](source_ids=tf.constant(source_ids[:1]))
for sentence in source_ids:
    start = time.perf_counter()
    found = signatures["ids"](source_ids=tf.constant([sentence], tf.int32))["ids"].numpy()[0].tolist()
    answer["milliseconds"].append(1000 * (time.perf_counter() - start))
    answer["ids"].append(found)
with open(answered, "w", encoding="utf-8") as file:
    json.dump(answer, file)
"""


def fresh_answers(saved_model: Path, texts: Sequence[str], source_ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What a SavedModel answers in a process of its own, on the processor.

    Args:
        saved_model: its folder.
        texts: sentences, not empty.
        source_ids: their ids with EOS.

    Returns:
        translations, scores and complete of the texts; ids and milliseconds of the ids, one at a time.

    Raises:
        UserError: the SavedModel could not be loaded or run there.
    """
    with tempfile.TemporaryDirectory(prefix="pocketnmt-") as folder, tempfile.TemporaryFile() as log:
        asked, answered = (Path(folder) / name for name in ("asked.json", "answered.json"))
        asked.write_text(json.dumps([list(texts), [list(ids) for ids in source_ids]]), encoding="utf-8")
        done = subprocess.run(
            # -I: neither this folder nor PYTHONPATH is looked at, so nothing of ours can be imported by chance.
            [sys.executable, "-I", "-c", _PROGRAM, str(saved_model.resolve()), str(asked), str(answered)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
            check=False,
        )
        if done.returncode != 0:
            raise UserError(
                f"{saved_model.name}: a process that imports only tensorflow and tensorflow_text cannot run it "
                f"(exit status {done.returncode}):\n{last_lines(log)}"
            )
        answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
        return answer
