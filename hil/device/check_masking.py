"""Masks on this interpreter: keys and words of one slot as independent code has made them."""

from binascii import hexlify, unhexlify

import masked_words
import vectors_street as vectors
from hushfw_checks import expect, run

from hushfw.core import kdf, masking
from hushfw.core.roster import SUPPLIER_ID

STREET = vectors.STREET


def hexed(data):
    return str(hexlify(data), "ascii")


def ordered(other):
    own_key, other_key = unhexlify(STREET["own"]), unhexlify(STREET["pairs"][other][0])
    if vectors.OWN_ID < other:
        return vectors.OWN_ID, other, own_key, other_key
    return other, vectors.OWN_ID, other_key, own_key


def pair_keys():
    for index, other in enumerate(vectors.IDS):
        if other != vectors.OWN_ID:
            _, _, mask_key, answer_key = STREET["pairs"][other]
            yield index, unhexlify(mask_key), unhexlify(answer_key)


def check_sub_keys_of_every_pair_are_the_recorded_ones():
    roster = unhexlify(STREET["roster"])
    for other, (_, secret, mask_key, answer_key) in STREET["pairs"].items():
        prk = kdf.hkdf_extract(roster, unhexlify(secret))
        for purpose, wanted in ((b"mask", mask_key), (b"answer", answer_key)):
            key = masking.subkey(prk, purpose, *ordered(other))
            expect(hexed(masking.next_day_key(key, vectors.DAY)), wanted, other)


def check_the_suppliers_keys_are_the_recorded_ones():
    public_key, secret = STREET["supplier"]
    prk = kdf.hkdf_extract(unhexlify(STREET["roster"]), unhexlify(secret))
    both = (SUPPLIER_ID, vectors.OWN_ID, unhexlify(public_key), unhexlify(STREET["own"]))
    expect(hexed(masking.subkey(prk, b"tag up", *both, 32)), STREET["tag_up"])
    key = masking.subkey(prk, b"keystream", *both)
    expect(hexed(masking.next_day_key(key, vectors.DAY)), STREET["keystream"])


def check_reports_and_answers_are_the_recorded_words():
    digest = masking.silent_digest(unhexlify(STREET["roster"]), vectors.SLOT, vectors.SILENT)
    expect(hexed(digest), STREET["digest"])
    for lanes, wanted in vectors.WORDS.items():
        recovery = vectors.RECOVERY[:lanes]
        report = masking.pack_words(
            masked_words.report_words(
                vectors.VALUES[:lanes],
                vectors.OWN_INDEX,
                pair_keys(),
                unhexlify(STREET["keystream"]),
                recovery,
                vectors.SLOT,
            )
        )
        expect(hexed(report), wanted["report"], "report")
        answer = masking.pack_words(
            masked_words.answer_words(
                vectors.OWN_INDEX, pair_keys(), recovery, vectors.SLOT, vectors.SILENT, digest
            )
        )
        expect(hexed(answer), wanted["answer"], "answer")
        tags_are(wanted, report, digest + answer)


def tags_are(wanted, report, answer):
    key, roster = unhexlify(STREET["tag_up"]), unhexlify(STREET["roster"])
    place = (roster, vectors.OWN_ID, vectors.SLOT)
    expect(hexed(masking.tag(key, b"report", *place, b"\0" + report)), wanted["report_tag"])
    expect(hexed(masking.tag(key, b"answer", *place, answer)), wanted["answer_tag"])


def check_negative_values_wrap_and_come_back():
    for value in (-1, -(1 << 62), (1 << 62) - 1, 0):
        word = value & masking.MASK
        expect(masking.unpack_words(masking.pack_words([word])), [word])
        expect(masking.signed(word), value)


def check_a_bit_map_with_stray_bits_is_none():
    expect(masking.silent_indexes(b"\x15", 5), [0, 2, 4])
    expect(masking.silent_indexes(b"\x20", 5), None)
    expect(masking.silent_indexes(b"\x01\x00", 5), None)
    expect(masking.silent_indexes(masking.silent_map(1000, [0, 7, 8, 999]), 1000), [0, 7, 8, 999])


run(globals())
