"""The words of a report and of an answer by their definition: the partners' keys one at a time.

A meter makes the same words in pieces (see hushfw.ahead), so these are what its words must be, and
what tests and benches let the partners of a meter say. See hushfw.core.masking for the formulas.
"""

from hushfw.core import masking


def report_words(values, own_index, pair_keys, keystream_key, recovery, slot):
    """The masked words of a report.

    values are the clipped readings plus noise shares, one a lane; pair_keys yields (index, mask
    key, answer key) of every partner; recovery are the words of C.
    """
    dummies = masking.dummy_sum(len(values), slot)
    for index, mask_key, _ in pair_keys:
        dummies.add(mask_key, 0, masking.KEY_BYTES, 1, own_index > index)
    return masking.masked(values, dummies.words(), keystream_key, recovery, slot)


def answer_words(own_index, pair_keys, recovery, slot, silent, digest):
    """The words that lift this meter's masks from the total, for this S alone."""
    lanes = len(recovery)
    dummies, bound = masking.dummy_sum(lanes, slot), masking.answer_sum(lanes, slot, digest)
    for index, mask_key, answer_key in pair_keys:
        if masking.in_silent(silent, index):
            dummies.add(mask_key, 0, masking.KEY_BYTES, 1, own_index > index)
        else:
            bound.add(answer_key, 0, masking.KEY_BYTES, 1, own_index > index)
    return masking.lifted(dummies.words(), bound.words(), recovery)
