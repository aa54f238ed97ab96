"""What becomes of every pair once the whole corpus is known: a split, or dropped as a duplicate or as a leak.

A fate is one byte a pair; that is all of a corpus that is ever in memory at once.
"""

from __future__ import annotations

import numpy as np

from pipeline.data.buckets import HashBuckets, group_starts
from pipeline.data.splits import split_bounds

# The first three are indices into SPLITS.
TRAIN, VALIDATION, TEST, DUPLICATE, HELD_OUT = range(5)
FATE = 0b0000_0111
"""Mask of the fate itself; the bits above mark overlaps of given splits."""
IN_TRAIN, IN_VALIDATION = 0b0001_0000, 0b0010_0000


def mark_duplicates(fates: np.ndarray, identities: HashBuckets) -> None:
    """Marks all but the first of equal pairs, those with a given split before those without.

    Args:
        fates: uint8 [rows]; changed.
        identities: hashes of the pairs among which duplicates are sought.
    """
    for records in identities.sorted_records():
        if len(np.unique(records["given"])) > 1:
            records = records[np.lexsort((records["row"], records["given"] == 0, records["hash"]))]
        later = np.ones(len(records), bool)
        later[group_starts(records)] = False
        fates[records["row"][later]] = DUPLICATE


def mark_splits(fates: np.ndarray, keys: HashBuckets, validation: float, test: float) -> None:
    """Gives every pair that is no duplicate its split.

    A given split stays as it is; where its source is also in a split before it, the pair is marked (IN_TRAIN,
    IN_VALIDATION) for the report. A pair without a given split goes by its hash, unless its source is in a given one:
    then it joins training if the source is only there, and is dropped (HELD_OUT) if validation or test have it.

    Args:
        fates: uint8 [rows]; changed.
        keys: hashes of the normalised sources, with the given splits.
        validation: share of all sources.
        test: share of all sources.
    """
    test_below, validation_from = split_bounds(validation, test)
    for records in keys.sorted_records():
        records = records[fates[records["row"]] != DUPLICATE]
        if not len(records):
            continue
        given, hashes = records["given"], records["hash"]
        starts = group_starts(records)
        present = np.bitwise_or.reduceat(np.left_shift(np.uint8(1), given), starts)
        present = np.repeat(present, np.diff(np.append(starts, len(records))))
        in_train, in_validation, in_test = ((present & (1 << code)) != 0 for code in (1, 2, 3))

        fate = np.full(len(records), TRAIN, np.uint8)
        fate[hashes < np.uint64(min(test_below, 2**64 - 1))] = TEST
        if validation_from < 2**64:
            fate[hashes >= np.uint64(validation_from)] = VALIDATION
        fate[in_train] = TRAIN
        fate[in_validation | in_test] = HELD_OUT
        fate = np.where(given > 0, given - 1, fate).astype(np.uint8)
        fate[(given >= 2) & in_train] |= IN_TRAIN
        fate[(given == 3) & in_validation] |= IN_VALIDATION
        fates[records["row"]] = fate
