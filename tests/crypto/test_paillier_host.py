"""Paillier on the host: keys that fit, files that keep their secret, a command that says so."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from phe import PaillierPrivateKey, PaillierPublicKey  # type: ignore[import-untyped]

from hushfw.core import paillier as device
from hushfw.core import paillier_proof as proof
from hushfw.core.errors import HushError
from hushfw.core.packing import Packing
from hushmeter.cli import main
from hushmeter.cluster.keyfile import new_key
from hushmeter.crypto import keyfiles
from hushmeter.crypto.on_meter import encryption_on_a_meter
from hushmeter.crypto.paillier import PrivateKey, check, generate, is_fit, private_from, read_public
from hushmeter.errors import HushmeterError

OWNER, ROSTER = b"Elm Row/7", bytes(range(32))
CHANCE = random.Random(2)


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(2048)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_new_key_is_of_the_kind_that_cheap_encryption_needs(bits: int) -> None:
    key = generate(bits)
    assert key.n.bit_length() == bits
    assert key.p % 4 == key.q % 4 == 3
    assert math.gcd(key.p - 1, key.q - 1) == 2
    assert math.gcd(key.n, (key.p - 1) * (key.q - 1)) == 1
    assert {key.p.bit_length(), key.q.bit_length()} == {bits // 2}
    assert abs(key.p - key.q).bit_length() > bits // 2 - 100


@pytest.mark.parametrize("bits", [512, 1024, 2047, 4096])
def test_other_lengths_are_refused(bits: int) -> None:
    with pytest.raises(HushmeterError, match="2048 or 3072"):
        generate(bits)


def test_host_and_an_independent_library_read_each_others_ciphertexts(private: PrivateKey) -> None:
    public = private.public(OWNER, ROSTER)
    other_public = PaillierPublicKey(private.n)
    other = PaillierPrivateKey(other_public, private.p, private.q)
    for m in (0, 1, private.n - 1, CHANCE.randrange(private.n)):
        ciphertext = public.encrypt(m)
        assert private.decrypt(ciphertext) == m
        assert other.raw_decrypt(int.from_bytes(ciphertext, "big")) == m
        theirs = int(other_public.raw_encrypt(m)).to_bytes(512, "big")
        assert private.decrypt(theirs) == m


def test_lanes_of_a_sum_are_decrypted(private: PrivateKey) -> None:
    public = private.public(OWNER, ROSTER)
    lanes = Packing(2047, 20, 64, 10)
    homes = [[CHANCE.randrange(-(1 << 63), 1 << 63) for _ in range(20)] for _ in range(6)]
    product = 1
    for home in homes:
        product *= int.from_bytes(public.encrypt(lanes.pack(home, public.n)), "big")
    ciphertext = (product % public.n**2).to_bytes(512, "big")
    assert private.decrypt_lanes(ciphertext, lanes) == [sum(h[i] for h in homes) for i in range(20)]


def test_bad_ciphertexts_are_not_decrypted(private: PrivateKey) -> None:
    n = private.n
    for number in (0, n, private.p, n * n, n * n - n):
        with pytest.raises(HushError) as caught:
            private.decrypt(number.to_bytes(512, "big"))
        assert caught.value.code == "bad_ciphertext"


def test_roots_are_roots(private: PrivateKey) -> None:
    for _ in range(5):
        x = CHANCE.randrange(private.n)
        assert pow(private.root(x), private.n, private.n) == x


def test_a_public_file_comes_back_and_is_checked(private: PrivateKey) -> None:
    public = private.public(OWNER, ROSTER)
    assert read_public(public.to_bytes()) == public == check(public.to_bytes(), OWNER, ROSTER)
    with pytest.raises(HushError) as caught:
        check(public.to_bytes(), b"Elm Row/8", ROSTER)
    assert caught.value.code == "bad_key"


def test_a_prime_whose_roots_anybody_has_is_refused() -> None:
    n = rsa.generate_private_key(65537, 2048).private_numbers().p
    known = device.PublicKey(n.to_bytes(128, "big"), insecure=True)
    wanted = proof.challenges(known, OWNER, ROSTER)
    # x^n = x mod a prime n: every challenge is its own root.
    data = proof.encode(n, 128, OWNER, ROSTER, wanted)
    with pytest.raises(HushError, match="n is prime"):
        check(data, OWNER, ROSTER, insecure=True)


def test_a_meter_is_given_nothing_that_it_would_refuse(private: PrivateKey) -> None:
    public = private.public(OWNER, ROSTER).to_bytes()
    assert encryption_on_a_meter(public, None, OWNER, ROSTER).settings is not None
    for key, table, owner in (
        (public, b"HCMB", OWNER),
        (public[:-1], None, OWNER),
        (public, None, b""),
    ):
        with pytest.raises(HushError):
            encryption_on_a_meter(key, table, owner, ROSTER)


def test_a_private_file_is_its_owners_and_is_never_overwritten(
    tmp_path: Path, private: PrivateKey
) -> None:
    path = tmp_path / "home.key"
    before = os.umask(0)
    try:
        keyfiles.write_private(path, private)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keyfiles.read_private(path) == private
    with pytest.raises(HushmeterError, match="exists already"):
        keyfiles.write_private(path, generate(1024, insecure=True))
    assert keyfiles.read_private(path) == private
    assert [file.name for file in tmp_path.iterdir()] == ["home.key"]


def test_a_private_file_that_is_none_is_refused_without_its_content(
    tmp_path: Path, private: PrivateKey
) -> None:
    path = tmp_path / "home.key"
    keyfiles.write_private(path, private)
    good = json.loads(path.read_text())
    for changes in ({"p": good["q"]}, {"kind": "x"}, {"n": "0" * 10}, {"q": "xyz"}, {"more": "1"}):
        path.write_text(json.dumps(good | changes))
        with pytest.raises(HushmeterError) as caught:
            keyfiles.read_private(path)
        said = str(caught.value)
        assert not any(good[name][at : at + 8] in said for name in "pq" for at in range(0, 200, 4))
    for content in (b"", b"\xff", b"[", b"[" * 100000):
        path.write_bytes(content)
        with pytest.raises(HushmeterError):
            keyfiles.read_private(path)


def test_primes_that_do_not_fit_are_refused(private: PrivateKey) -> None:
    assert is_fit(private.p, private.q)
    assert not is_fit(private.p, private.p) and not is_fit(private.p + 2, private.q)
    with pytest.raises(HushmeterError):
        private_from(private.p, private.q, private.n + 2)
    with pytest.raises(HushmeterError):
        private_from(7, 11, 77)
    # Of these n and phi(n) have a factor in common: there are no n-th roots to show.
    assert not is_fit(23, 11) and not is_fit(11, 23)


def test_nothing_secret_is_in_a_repr(private: PrivateKey) -> None:
    shown = f"{private!r} {private} {vars(private.public(OWNER, ROSTER))}"
    assert str(private.p) not in shown and str(private.q) not in shown


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["paillier", *arguments])
    return done.exit_code, done.output


def test_the_command_makes_a_key_a_table_and_checks_them(tmp_path: Path) -> None:
    new_key(tmp_path / "a.pem")
    key, public, table = (str(tmp_path / name) for name in ("home.key", "home.pub", "home.comb"))
    whose = ("--street", "Elm Row", "--meter-id", "7", "--authority", str(tmp_path / "a.pem"))
    code, said = run("key", key, "--new", *whose, "--public", public, "--json")
    assert code == 0 and json.loads(said)["owner"] == "Elm Row/7"
    assert json.loads(said)["bits"] == 2048
    made = keyfiles.read_private(Path(key))
    assert f"{made.p:x}" not in said and str(made.p) not in said
    arguments = ("--out", table, "--exponent-bits", "256", "--teeth", "4", "--json")
    code, said = run("table", public, *arguments)
    assert code == 0 and "stronger assumption" in json.loads(said)["assumption"]
    code, said = run("check", public, "--table", table, "--json")
    facts = json.loads(said)
    assert code == 0 and facts["teeth"] == 4 and not facts["insecure"]
    assert run("key", key, "--new", *whose)[0] == 2
    # The same private half gives the same public file again.
    again = str(tmp_path / "again.pub")
    assert run("key", key, *whose, "--public", again)[0] == 0
    assert Path(again).read_bytes() == Path(public).read_bytes()


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    whose = ("--street", "Elm Row", "--meter-id", "7", "--authority", "ab" * 32)
    key, public = str(tmp_path / "home.key"), tmp_path / "home.pub"
    code, said = run("key", key, "--new", *whose, "--bits", "1024")
    assert code == 2 and "2048 or 3072" in said and not Path(key).exists()
    assert run("key", key, *whose)[0] == 2
    assert run("key", key, "--new", *whose, "--bits", "1024", "--insecure")[0] == 0
    code, said = run("key", key, *whose, "--public", str(public))
    assert code == 2 and "1024 bits" in said and not public.exists()
    assert run("key", key, *whose, "--insecure")[0] == 0
    short = generate(1024, insecure=True).public(b"o", ROSTER)
    public.write_bytes(short.to_bytes())
    assert run("check", str(public))[0] == 2
    assert run("check", str(public), "--insecure")[0] == 0
    code, said = run(
        "table", str(public), "--out", str(tmp_path / "t"), "--insecure", "--teeth", "9"
    )
    assert code == 2 and "1 to 8" in said
    wrong = proof.encode(short.n, 128, b"o", ROSTER, [2] * 8)
    public.write_bytes(wrong)
    code, said = run("check", str(public), "--insecure")
    assert code == 2 and "root 0" in said
    assert run("check", str(tmp_path / "absent"))[0] == 2
