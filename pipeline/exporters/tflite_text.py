"""A .tflite with text in and text out, SentencePiece inside: for apps whose runtime has TensorFlow Text's operators.

Signature `translate_text`:
    texts: string [1] a sentence, cleaned, with slots for its placeholders (pipeline/runtime/slots.py)
    -> translations: string [1], with the slots; scores: float32 [1]; complete: bool [1], False where L pieces were not enough;
       ids: int32 [1, L] of the translation, EOS included where there is one, 0 after it

A stock interpreter refuses it: two operators are TensorFlow Text's own, and an app builds them in, as
https://www.tensorflow.org/text/guide/text_tf_lite shows. In Python an interpreter gets them from `TextInterpreter`. There is no operator
for regular expressions, so that cleaning and slots are the app's part here as well. A text may be of any length; blank, it gives "".

Only unigram models: the operator (`FastSentencepieceTokenizer`) cuts texts otherwise than SentencePiece where the model is of type BPE.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_text

from pipeline.data.subwords import EOS, PAD, Subwords, Tokenizer
from pipeline.decoding.search import Search
from pipeline.decoding.search_model import search_translations
from pipeline.exporters.parity import Answers, Sentences

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any
SIGNATURE = "translate_text"
OPERATORS = {"CUSTOM TFText>FastSentencepieceTokenize", "CUSTOM TFText>FastSentencepieceDetokenize"}
"""Those that an app adds to its interpreter."""


@contextlib.contextmanager
def traced_with_text(model: Seq2Seq, search: Search, tokenizer: Tokenizer) -> Iterator[Path]:
    """A temporary SavedModel from which all precisions are converted; see `pipeline.exporters.tflite.traced`."""
    source, target = _subwords_op(tokenizer.source), _subwords_op(tokenizer.target)

    class Phone(tf.Module):
        """Holds the values of the weights, each once."""

        def __init__(self) -> None:
            super().__init__(name="phone")
            self.weights = [weight.value for weight in model.weights]

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([1], tf.string, name="texts")])
        def translate(self, texts: Tensor) -> dict[str, Tensor]:
            source_ids = source.tokenize(texts).flat_values[None, :]
            found = search_translations(model, tf.ensure_shape(source_ids, [1, None]), search)
            ids = found.ids[:, 0]
            blank = tf.equal(tf.shape(source_ids)[1], 1)  # EOS alone
            real = tf.reduce_sum(tf.cast(tf.logical_and(tf.not_equal(ids, PAD), tf.not_equal(ids, EOS)), tf.int32))
            written = tf.where(blank, 0, real)
            pieces = tf.RaggedTensor.from_row_splits(ids[0, :written], tf.stack([0, written]), validate=False)
            return {
                "translations": target.detokenize(pieces),
                "scores": tf.where(blank, 0.0, found.scores[:, 0]),
                "complete": tf.logical_or(blank, tf.reduce_any(tf.equal(ids, EOS), axis=1)),
                "ids": tf.where(blank, tf.zeros_like(ids), ids),
            }

    module = Phone()
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with TemporaryDirectory(prefix="pocketnmt-") as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: module.translate}, options=options)
        yield Path(folder)


def _subwords_op(subwords: Subwords) -> Any:
    """A SentencePiece model in a graph, EOS after what it encodes."""
    return tensorflow_text.FastSentencepieceTokenizer(subwords.model, add_eos=True)


class TextInterpreter:
    """A file with text in and out, in TensorFlow's interpreter with TensorFlow Text's operators.

    Args:
        content: of the file.
    """

    def __init__(self, content: bytes) -> None:
        from tensorflow.lite.python.interpreter import InterpreterWithCustomOps
        from tensorflow_text.core.pybinds import tflite_registrar

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LiteRT is newer; TensorFlow Text's operators fit TensorFlow's own.
            self._interpreter = InterpreterWithCustomOps(
                model_content=content, num_threads=1, custom_op_registerers=tflite_registrar.SELECT_TFTEXT_OPS
            )
        self._translate = self._interpreter.get_signature_runner(SIGNATURE)

    def translate(self, text: str) -> tuple[str, float, bool, list[int]]:
        """Translation, score, whether it is complete, and its ids without EOS."""
        found = self._translate(texts=np.array([text.encode()], object))
        ids = [token for token in found["ids"][0].tolist() if token not in (EOS, PAD)]
        return found["translations"][0].decode(), float(found["scores"][0]), bool(found["complete"][0]), ids


def text_answers(interpreter: TextInterpreter, sentences: Sentences, tokenizer: Tokenizer) -> Answers:
    """What such a file answers; slots are put in and out as an app would."""
    ids, texts, scores, milliseconds = [], [], [], []
    interpreter.translate(sentences.texts[0])  # warms up
    for text in sentences.texts:
        masked = tokenizer.slots.mask(text)
        start = time.perf_counter()
        translation, score, _, found = interpreter.translate(masked.text)
        milliseconds.append(1000 * (time.perf_counter() - start))
        ids.append(found)
        texts.append(tokenizer.slots.unmask(translation, masked.kept))
        scores.append(score)
    return Answers(ids, texts, scores, milliseconds)
