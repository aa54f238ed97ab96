"""The phone's artefact: one .tflite a precision, with the whole search inside and no operator that is not TensorFlow Lite's own.

Signature `translate`:
    source_ids: int32 [1, N] the sentence, EOS (3) after it, then anything; N is the model's limit of tokens and one for EOS
    length: int32 [1] tokens of the sentence, EOS counted, 2 to N
    -> ids: int32 [1, L] EOS included where there is one, 0 after it; score: float32 [1] what the search chose by;
       log_prob: float32 [1] logarithm of the translation's probability

Signature `translate_many`, where it is asked for: the same of B sentences at once, all with B for the 1. They share the reading of the
weights, which is what greedy search for one sentence mostly waits for.

Signature `attention`, of models that have one: how a translation came about, to look at:
    source_ids, length: as above
    target_ids: int32 [1, L] what `translate` gave, EOS after it
    -> weights: float32 [1, L, N] what each target token looked at; rows beyond the target mean nothing, columns beyond the source are 0

The sentence is cut out of `source_ids` first, so that a short one costs little and no mask is needed. Text becomes ids in the
app, with the SentencePiece model that lies beside the file; `pipeline/runtime/` is such an app.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from pipeline.decoding.search import Search
from pipeline.decoding.search_model import attention_weights, search_translations
from pipeline.runtime.errors import UserError
from pipeline.runtime.translator import ATTENTION, MANY, SIGNATURE

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any
PRECISIONS = ("float32", "float16", "int8")


@contextlib.contextmanager
def traced(model: Seq2Seq, search: Search, max_tokens: int, together: int = 1) -> Iterator[Path]:
    """A temporary SavedModel from which all precisions are converted.

    Args:
        model: trained, in float32.
        search: the settings of the search inside.
        max_tokens: longest source in pieces, EOS not counted.
        together: B of `translate_many`; 1 = no such signature.
    """

    def answers(sentences: Tensor) -> dict[str, Tensor]:
        found = search_translations(model, sentences, search)
        return {"ids": found.ids[:, 0], "score": found.scores[:, 0], "log_prob": found.log_probs[:, 0]}

    class Phone(tf.Module):
        """Holds the values of the weights, each once."""

        def __init__(self) -> None:
            super().__init__(name="phone")
            self.weights = [weight.value for weight in model.weights]

        # A batch is known: an unknown one brings lists of tensors, which the built-in operators lack.
        @tf.function(autograph=False, input_signature=[tf.TensorSpec([1, max_tokens + 1], tf.int32), tf.TensorSpec([1], tf.int32)])
        def translate(self, source_ids: Tensor, length: Tensor) -> dict[str, Tensor]:
            return answers(tf.ensure_shape(source_ids[:, : length[0]], [1, None]))

        @tf.function(
            autograph=False, input_signature=[tf.TensorSpec([together, max_tokens + 1], tf.int32), tf.TensorSpec([together], tf.int32)]
        )
        def translate_many(self, source_ids: Tensor, length: Tensor) -> dict[str, Tensor]:
            longest = tf.reduce_max(length)
            sentences = tf.ensure_shape(source_ids[:, :longest], [together, None])
            return answers(tf.where(tf.range(longest) < length[:, None], sentences, 0))

        @tf.function(
            autograph=False,
            input_signature=[
                tf.TensorSpec([1, max_tokens + 1], tf.int32),
                tf.TensorSpec([1], tf.int32),
                tf.TensorSpec([1, search.max_tokens], tf.int32),
            ],
        )
        def attention(self, source_ids: Tensor, length: Tensor, target_ids: Tensor) -> dict[str, Tensor]:
            sentence = tf.ensure_shape(source_ids[:, : length[0]], [1, None])
            weights = attention_weights(model, sentence, tf.concat([[[search.bos]], target_ids[:, :-1]], axis=1))
            padded = tf.pad(weights, [[0, 0], [0, 0], [0, max_tokens + 1 - length[0]]])
            return {"weights": tf.reshape(padded, [1, search.max_tokens, max_tokens + 1])}

    module = Phone()
    signatures = {SIGNATURE: module.translate}
    if together > 1:
        signatures[MANY] = module.translate_many
    if model.decoder.attention.context_size:
        signatures[ATTENTION] = module.attention
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with TemporaryDirectory(prefix="pocketnmt-") as folder:
        tf.saved_model.save(module, folder, signatures=signatures, options=options)
        yield Path(folder)


def convert(traced_model: Path, precision: str, extra: Collection[str] = ()) -> bytes:
    """The content of a .tflite file.

    Args:
        traced_model: from `traced`.
        precision: of the weights: "float32"; "float16" halves the file; "int8" quarters it (dynamic range: matrix products in
            8-bit integers, everything between them in float32).
        extra: operators that are not built in and may be there all the same, as `operators` calls them.

    Raises:
        UserError: the graph has an operator that is neither a built-in one nor in `extra`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Expected one of {PRECISIONS}. Received: {precision!r}")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(traced_model))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = bool(extra)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        content: bytes = converter.convert()
    except Exception as error:
        # The converter's error is a class of a private module, with pages of MLIR; its first lines name the operators.
        if type(error).__name__ != "ConverterError":
            raise
        reason = " ".join(str(error)[:600].split())
        raise UserError(f"{precision}.tflite: the model cannot be expressed in TensorFlow Lite's own operators: {reason}") from error
    if foreign := sorted(set(foreign_operators(operators(content))) - set(extra)):
        raise UserError(
            f"{precision}.tflite: has operators that no stock interpreter knows: {', '.join(foreign)}. "
            "Expected built-in ones only; the code of pipeline/model/ or pipeline/decoding/ brings them in."
        )
    return content


def operators(content: bytes) -> dict[str, int]:
    """How often each operator occurs in a .tflite file, in all its graphs (loops have their own), the most frequent first.

    One that is not built in is called 'CUSTOM <name>', TensorFlow's own among them ('CUSTOM FlexAddV2').
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = schema.Model.GetRootAs(content, 0)
    kinds: list[str] = []
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        # Files write small numbers to the old field as well; the larger one is right.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = number == schema.BuiltinOperator.CUSTOM
        kinds.append(f"CUSTOM {(code.CustomCode() or b'?').decode()}" if custom else names.get(number, f"UNKNOWN {number}"))
    counts: Counter[str] = Counter()
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        counts.update(kinds[graph.Operators(number).OpcodeIndex()] for number in range(graph.OperatorsLength()))
    return dict(counts.most_common())


def foreign_operators(counts: dict[str, int]) -> list[str]:
    """Those of `operators` that a stock interpreter does not know."""
    return sorted(name for name in counts if name.startswith(("CUSTOM", "UNKNOWN", "DELEGATE")))
