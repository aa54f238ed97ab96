"""Slots for placeholders inside a TensorFlow graph: what `pipeline.runtime.slots` does with strings, with string operations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.runtime.errors import UserError
from pipeline.runtime.slots import LOST, Slots

Tensor = Any

_MARK = "\x01"  # no text has it: control characters are taken out beforehand


class SlotsInGraph:
    """Masks and unmasks batches of texts.

    Args:
        slots: of a tokenizer.

    Raises:
        UserError: a pattern is one that TensorFlow's regular expressions (RE2) do not know.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._symbols = tf.constant(slots.symbols)
        self._kinds = [*slots.patterns, slots.foreign_pattern]
        for pattern in self._kinds:
            try:
                tf.strings.regex_full_match("", pattern)
            except tf.errors.InvalidArgumentError as error:
                reason = str(error).split("error:")[-1].strip()
                raise UserError(
                    f"saved_model: TensorFlow does not know the regular expression {pattern!r} of tokenizer.placeholders ({reason}). "
                    "Write it without look-around and back-references, or set export.saved_model to false."
                ) from None

    def mask(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Puts slots for placeholders and unknown text.

        Args:
            texts: [B] strings.

        Returns:
            [B] strings with slots; [B, M] what stands in each slot, empty where it is not in the text.
        """
        parts, kind = self._parts(texts)  # [B, (parts)], [parts]
        flat = parts.flat_values
        kinds, number = len(self._kinds), self._slots.number
        # The how-manieth of its kind each part is in its text.
        of_kind = parts.with_flat_values(tf.one_hot(kind, kinds, dtype=tf.int32)).to_tensor()  # [B, P, kinds]
        before = tf.RaggedTensor.from_tensor(tf.cumsum(of_kind, axis=1, exclusive=True), lengths=parts.row_lengths()).flat_values
        place = tf.reduce_sum(before * tf.one_hot(kind, kinds, dtype=tf.int32), axis=-1)
        is_slot = tf.logical_and(kind < kinds, place < number)
        slot = tf.where(is_slot, kind * number + place, 0)
        plain = tf.strings.regex_replace(flat, self._slots.slot_pattern, LOST)
        masked = tf.strings.reduce_join(parts.with_flat_values(tf.where(is_slot, tf.gather(self._symbols, slot), plain)), axis=1)
        cells = tf.stack([tf.cast(parts.value_rowids(), tf.int32), slot], axis=1)
        rows = tf.cast(parts.nrows(), tf.int32)
        kept = tf.tensor_scatter_nd_update(
            tf.fill([rows, self._slots.size], ""), tf.boolean_mask(cells, is_slot), tf.boolean_mask(flat, is_slot)
        )
        return masked, kept

    def unmask(self, texts: Tensor, kept: Tensor) -> Tensor:
        """Puts back what stood in the slots: texts [B], kept [B, M] as `mask` gave it -> [B]."""
        characters = tf.strings.unicode_split(texts, "UTF-8")
        flat = characters.flat_values
        slot = tf.strings.unicode_decode(flat, "UTF-8").to_tensor(shape=[None, 1])[:, 0] - ord(self._slots.symbols[0])
        is_slot = tf.logical_and(slot >= 0, slot < self._slots.size)
        cells = tf.stack([tf.cast(characters.value_rowids(), tf.int32), tf.where(is_slot, slot, 0)], axis=1)
        originals = tf.gather_nd(kept, cells)
        return tf.strings.reduce_join(characters.with_flat_values(tf.where(is_slot, originals, flat)), axis=1)

    def _parts(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Texts [B] cut into [B, (parts)]: placeholders, unknown text, and what stands between; and the kind of each part."""
        *patterns, foreign = self._kinds
        kinds = len(self._kinds)
        if patterns:
            segments, is_placeholder = _apart(texts, "|".join(f"(?:{pattern})" for pattern in patterns))
        else:
            segments, is_placeholder = tf.RaggedTensor.from_tensor(texts[:, None]), tf.zeros_like(texts, tf.bool)
        kind = tf.zeros_like(is_placeholder, tf.int32)
        for index, pattern in reversed(list(enumerate(patterns))):
            kind = tf.where(tf.strings.regex_full_match(segments.flat_values, pattern), index, kind)
        # Unknown text is looked for between the placeholders, not in them.
        pieces, is_foreign = _apart(segments.flat_values, foreign, where=tf.logical_not(is_placeholder))
        whole, kind = tf.gather(is_placeholder, pieces.value_rowids()), tf.gather(kind, pieces.value_rowids())
        kind = tf.where(is_foreign, kinds - 1, tf.where(whole, kind, kinds))
        nested = segments.with_flat_values(pieces)
        return nested.merge_dims(1, 2), kind


def _apart(texts: Tensor, pattern: str, where: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Texts [B] cut into [B, (parts)] at the matches of a pattern, and whether each part is one; only those `where` it is true."""
    marked = tf.strings.regex_replace(texts, pattern, rf"{_MARK}\0{_MARK}")
    parts = tf.strings.split(marked if where is None else tf.where(where, marked, texts), _MARK)
    starts = tf.gather(parts.row_starts(), parts.value_rowids())
    return parts, tf.equal((tf.range(tf.size(parts.flat_values, out_type=tf.int64)) - starts) % 2, 1)  # every second is a match
