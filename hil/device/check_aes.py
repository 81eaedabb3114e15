"""AES-128 and AES-256 inside the interpreter at hand: FIPS 197, SP 800-38A."""

from binascii import hexlify, unhexlify

from hushfw_checks import CheckFailed, expect, run
from vectors_crypto import AES_ECB

from hushfw import port


def check_aes_matches_fips_197():
    for source, key, plain, cipher in AES_ECB:
        got = port.aes(unhexlify(key)).encrypt(unhexlify(plain))
        expect(hexlify(got), cipher.encode(), source)


def check_one_object_encrypts_many_times_without_state():
    source, key, plain, cipher = AES_ECB[2]
    aes, plain = port.aes(unhexlify(key)), bytearray(unhexlify(plain))
    blocks = b"".join([aes.encrypt(plain[at : at + 16]) for at in range(0, len(plain), 16)])
    expect(hexlify(blocks), cipher.encode(), source)


def check_keys_and_data_of_other_lengths_are_refused():
    for key_size, data_size in ((24, 16), (15, 16), (16, 17)):
        try:
            port.aes(bytes(key_size)).encrypt(bytes(data_size))
        except ValueError:
            continue
        raise CheckFailed("a key of %d and data of %d bytes were taken" % (key_size, data_size))


run(globals())
