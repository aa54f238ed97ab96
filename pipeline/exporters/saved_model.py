"""The server's artefact: a SavedModel that takes text and gives text, SentencePiece and the whole search inside.

    import tensorflow as tf, tensorflow_text
    translate = tf.saved_model.load("export/saved_model").signatures["serving_default"]
    translate(texts=tf.constant(["Turn on the light."]))["translations"]

Signatures:
    serving_default     texts: string [B] -> translations: string [B], scores: float32 [B], complete: bool [B]
    best                texts: string [B] -> translations: string [B, K], scores: float32 [B, K], as many as the beam is wide, the best
                        first; where there are fewer, the rest are empty, with a score of -1e9
    attention           texts: string [B] -> translations, scores, complete as above; source_pieces: string [B, S], target_pieces: string
                        [B, T], weights: float32 [B, T, S], what each target piece looked at; after the last piece "" and 0. Of models
                        that have attention.
    ids                 source_ids: int32 [B, S], EOS (3) after each sentence, then 0 -> ids: int32 [B, L], scores: float32 [B]

A text is cleaned as the training text was: bytes that are not UTF-8 become U+FFFD, control characters, line breaks and '▁' become
spaces, runs of spaces one. Placeholders, and characters that the vocabulary lacks, come back as they are, as far as there are slots
(pipeline/runtime/slots.py). An empty or blank text gives an empty one. Score: natural log, divided by the length penalty.

A text of any length is read to its end, but a model that has learnt on sentences translates paragraphs badly, and a translation
has at most L pieces: where that cuts one off, `complete` is False. Send a sentence a text (pipeline/runtime/segmentation.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
import tensorflow_text

from pipeline.configuration.schema_data import Cleaning
from pipeline.data.subwords import BOS, EOS, PAD, Subwords, Tokenizer
from pipeline.decoding.search import NEVER, Search
from pipeline.decoding.search_model import attention_weights, search_translations
from pipeline.exporters.slots_in_graph import SlotsInGraph
from pipeline.exporters.xla import compiled_by_xla

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any

# As pipeline/decoding/text_stream.py and pipeline/data/cleaning.py have them, in RE2's notation.
_NEVER_TEXT = r"[\x{00}-\x{1f}\x{7f}-\x{9f}\x{2028}\x{2029}\x{2581}]"
_INVISIBLE = r"[\x{ad}\x{200b}\x{2060}\x{feff}]"
_SPACES = r"[ \x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]+"


class ServedTranslator(tf.Module):
    """What the SavedModel keeps: the values of the weights and the tokenizer's models, each of them once.

    The Keras model stays in closures. Were it an attribute, its layers would be tracked as well and every weight stored twice.
    """

    def __init__(
        self, model: Seq2Seq, tokenizer: Tokenizer, search: Search, cleaning: Cleaning, precision: str = "float32", xla: bool = False
    ) -> None:
        """See `save_saved_model`."""
        super().__init__(name="translator")
        self._halved, self._xla = precision != "float32", xla
        self.weights = [tf.Variable(tf.cast(weight.value, precision)) if self._halved else weight.value for weight in model.weights]
        self.source_subwords = _subwords_op(tokenizer.source)
        self.target_subwords = self.source_subwords if tokenizer.joint else _subwords_op(tokenizer.target)
        self._cleaning = cleaning
        self._slots = SlotsInGraph(tokenizer.slots) if tokenizer.slots.number else None
        several = dataclasses.replace(search, best=search.beam_size)
        self.search_ids, self.search_several = (self._searching(model, wanted) for wanted in (search, several))
        self._look = self._weighed(model.weights, lambda ids, inputs: attention_weights(model, ids, inputs))

    def _searching(self, model: Seq2Seq, search: Search) -> Callable[[Tensor], Tensor]:
        """The search from ids [B, S] to ids and scores."""
        searching = self._weighed(model.weights, lambda ids: search_translations(model, ids, search)[:2])
        signature = [tf.TensorSpec([None, None], tf.int32)]
        return compiled_by_xla(searching, signature) if self._xla else tf.function(searching, input_signature=signature, autograph=False)

    def _weighed(self, originals: Sequence[keras.Variable], function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`function` with the weights as they are kept here: made float32 once a call, where they are kept in half of that."""
        if not self._halved:
            return function

        def weighed(*inputs: Tensor) -> Tensor:
            values = zip(originals, self.weights, strict=True)
            with keras.StatelessScope([(weight, tf.cast(kept, tf.float32)) for weight, kept in values]):
                return function(*inputs)

        return weighed

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def translate(self, texts: Tensor) -> dict[str, Tensor]:
        """The signature `serving_default`."""
        source_ids, kept, blank = self._read(texts)
        ids, scores = (part[:, 0] for part in self.search_ids(source_ids))
        return self._answer(ids, scores, kept, blank)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def translate_best(self, texts: Tensor) -> dict[str, Tensor]:
        """The signature `best`."""
        source_ids, kept, blank = self._read(texts)
        ids, scores = self.search_several(source_ids)
        shape = tf.shape(scores)
        flat = self._written(tf.reshape(ids, [-1, tf.shape(ids)[-1]]), None if kept is None else tf.repeat(kept, shape[1], axis=0))
        nothing = tf.logical_or(blank[:, None], scores < NEVER / 2)
        return {"translations": tf.where(nothing, "", tf.reshape(flat, shape)), "scores": tf.where(blank[:, None], 0.0, scores)}

    def translate_with_attention(self, texts: Tensor) -> dict[str, Tensor]:
        """The signature `attention`; not every model has it."""
        source_ids, kept, blank = self._read(texts)
        ids, scores = (part[:, 0] for part in self.search_ids(source_ids))
        ids = tf.where(blank[:, None], PAD, ids)
        longest = tf.reduce_max(tf.concat([[1], tf.reduce_sum(tf.cast(tf.not_equal(ids, PAD), tf.int32), axis=1)], axis=0))
        ids = ids[:, :longest]
        inputs = tf.concat([tf.fill([tf.shape(ids)[0], 1], BOS), ids[:, :-1]], axis=1)
        real = tf.not_equal(ids, PAD)
        return {
            **self._answer(ids, scores, kept, blank),
            "source_pieces": self._pieces(self.source_subwords, source_ids, kept),
            "target_pieces": self._pieces(self.target_subwords, ids, kept),
            "weights": self._look(source_ids, inputs) * tf.cast(real, tf.float32)[..., None],
        }

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None], tf.int32, name="source_ids")])
    def translate_ids(self, source_ids: Tensor) -> dict[str, Tensor]:
        """The signature `ids`."""
        ids, scores = (part[:, 0] for part in self.search_ids(source_ids))
        return {"ids": ids, "scores": scores}

    def _read(self, texts: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Texts [B] to ids [B, S], what stands in their slots, and which of them are blank."""
        texts = clean_texts(texts, self._cleaning)
        masked, kept = (texts, None) if self._slots is None else self._slots.mask(texts)
        source_ids = self.source_subwords.tokenize(masked).to_tensor(PAD)  # EOS after each
        # A batch of no texts has no columns either; the encoder wants at least one.
        source_ids = tf.pad(source_ids, [[0, 0], [0, tf.cast(tf.equal(tf.shape(source_ids)[1], 0), tf.int32)]])
        return source_ids, kept, tf.equal(texts, "")

    def _written(self, ids: Tensor, kept: Tensor | None) -> Tensor:
        """Ids [B, L] to texts [B]."""
        real = tf.logical_and(tf.not_equal(ids, PAD), tf.not_equal(ids, EOS))
        texts = self.target_subwords.detokenize(tf.ragged.boolean_mask(ids, real))
        return texts if self._slots is None else self._slots.unmask(texts, kept)

    def _answer(self, ids: Tensor, scores: Tensor, kept: Tensor | None, blank: Tensor) -> dict[str, Tensor]:
        return {
            "translations": tf.where(blank, "", self._written(ids, kept)),
            "scores": tf.where(blank, 0.0, scores),
            "complete": tf.logical_or(blank, tf.reduce_any(tf.equal(ids, EOS), axis=1)),
        }

    def _pieces(self, subwords: Any, ids: Tensor, kept: Tensor | None) -> Tensor:
        """The pieces of ids [B, X], "" for PAD."""
        pieces = tf.where(tf.equal(ids, PAD), "", subwords.id_to_string(ids))
        if self._slots is None:
            return pieces
        return tf.reshape(self._slots.unmask(tf.reshape(pieces, [-1]), tf.repeat(kept, tf.shape(ids)[1], axis=0)), tf.shape(ids))


def _subwords_op(subwords: Subwords) -> Any:
    """A SentencePiece model in a graph, EOS after what it encodes.

    A loaded SavedModel tells these apart by name alone: two without a name of their own silently share one model, so the target was
    spelt in the source's pieces (https://github.com/tensorflow/text/issues/1304). So a model is named by its content.
    """
    return tensorflow_text.SentencepieceTokenizer(subwords.model, out_type=tf.int32, add_eos=True, name=f"subwords_{subwords.sha256[:16]}")


def clean_texts(texts: Tensor, cleaning: Cleaning) -> Tensor:
    """Texts [B] as the model knows them, without line breaks; see `pipeline.decoding.text_stream.clean_line`."""
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace", replace_control_characters=False)
    texts = tf.strings.regex_replace(texts, _NEVER_TEXT, " ")
    if cleaning.normalize is not None:
        texts = tensorflow_text.normalize_utf8(texts, cleaning.normalize)
    if cleaning.control_characters:
        texts = tf.strings.regex_replace(texts, _INVISIBLE, "")
        texts = tf.strings.regex_replace(texts, _SPACES, " ")
    return tf.strings.regex_replace(tf.strings.regex_replace(texts, f"^{_SPACES}|{_SPACES}$", ""), " +", " ")


def save_saved_model(
    model: Seq2Seq,
    tokenizer: Tokenizer,
    search: Search,
    cleaning: Cleaning,
    folder: Path,
    precision: str = "float32",
    xla: bool = False,
) -> None:
    """Writes the SavedModel.

    Args:
        model: trained, in float32.
        tokenizer: the one it was trained with.
        search: the settings of the search inside.
        cleaning: how the training text was cleaned.
        folder: gets saved_model.pb and variables/.
        precision: "float32"; "float16" or "bfloat16" keep the weights in half the bytes, and compute in float32 all the same.
        xla: let XLA compile the search.
    """
    module = ServedTranslator(model, tokenizer, search, cleaning, precision, xla)
    signatures = {"serving_default": module.translate, "best": module.translate_best, "ids": module.translate_ids}
    if model.decoder.attention.context_size:
        signatures["attention"] = tf.function(
            module.translate_with_attention, autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="texts")]
        )
    # The gradients of our recurrence are for training.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=signatures, options=options)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
