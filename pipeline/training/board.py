"""TensorBoard's view of a training: all of history.csv, and at each validation gradients by layer and through time, and attention.

Written with the package `tensorboard` alone, so that it is there on every backend of Keras; gradients are shown on TensorFlow and JAX.
Looking changes nothing of the training.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.configuration import Config
from pipeline.data.batches import Batch
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.translator import Translator, search_of
from pipeline.inspect.gradients import gradient_norms, has_gradients
from pipeline.inspect.pictures import attention_picture
from pipeline.inspect.reading import Reader
from pipeline.inspect.through_time import gradients_by_distance
from pipeline.runtime.errors import UserError
from pipeline.support.history import Row
from pipeline.support.run_directory import RunDirectory
from pipeline.training.averaging import averaged_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipeline.model.seq2seq import Seq2Seq

SENTENCES = 3
DISTANCES = (1, 5, 10, 20)
"""Pieces back from a sentence's last one, at which the gradient is shown."""


class Board:
    """Writes to <run>/tensorboard.

    Args:
        run: of the training.
        model: in training.
        tokenizer, config: of the run.
        texts: validation sentences with their references; of the first few attention is shown.
        batch: training pairs whose gradients are shown.

    Raises:
        UserError: tensorboard is not installed.
    """

    def __init__(
        self, run: RunDirectory, model: Seq2Seq, tokenizer: Tokenizer, config: Config, texts: Sequence[tuple[str, str]], batch: Batch
    ) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError("training.tensorboard needs a package more: pip install tensorboard")
        self._folder, self._model, self._batch = run.tensorboard, model, batch
        self._reader = Reader(model, tokenizer, Translator(model, tokenizer, search_of(config, tokenizer)), config)
        self._texts = list(texts)[:SENTENCES]
        self._with_attention = config.model.attention.kind != "none"

    def write(self, row: Row) -> None:
        """One validation: its row of history.csv, and what the model that was validated looks like."""
        with averaged_weights(self._model):
            self._write(row)

    def _write(self, row: Row) -> None:
        step = int(row["update"])
        scalars = {f"history/{name}": value for name, value in row.items() if name != "update"}
        if has_gradients():
            scalars |= {f"gradient by layer/{part}": norm for part, norm in gradient_norms(self._model, self._batch).items()}
            decay = gradients_by_distance(self._model, [self._batch], max(DISTANCES) + 1)
            scalars |= {f"gradient through time/{back} back": float(decay[back]) for back in DISTANCES if np.isfinite(decay[back])}
        for name, value in scalars.items():
            self._add(step, name, simple_value=value)
        for number, (text, reference) in enumerate(self._texts if self._with_attention else [], start=1):
            self._add(step, f"attention/{number}", image=_image(attention_picture(self._reader.read(text, reference))))
        self._writer.flush()

    def _add(self, step: int, name: str, **value: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = value.pop("image", None)
        if image is not None:
            value["image"] = Summary.Image(encoded_image_string=image[0], width=image[1], height=image[2], colorspace=4)
        summary = Summary(value=[Summary.Value(tag=name, **value)])
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    @functools.cached_property
    def _writer(self) -> Any:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        return EventFileWriter(str(self._folder))


def _image(figure: Figure) -> tuple[bytes, int, int]:
    """A figure as PNG on white, with its width and height."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    width, height = (round(side * 90) for side in figure.get_size_inches())
    return file.getvalue(), width, height
