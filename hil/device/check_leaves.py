"""The tree over commitments inside the interpreter at hand.

The roots are those of Certificate Transparency's own tests (google/certificate-transparency,
merkle tree of eight leaves), whose tree is RFC 6962's.
"""

from binascii import hexlify, unhexlify

from hushfw_checks import expect, refuses, run

from hushfw.core import leaves
from hushfw.port import sha256

INPUTS = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
HOME = leaves.home_id("Elm Row", 7)


def check_roots_are_those_of_certificate_transparency():
    tree = leaves.Tree()
    for count in range(len(ROOTS)):
        expect(hexlify(tree.root()), ROOTS[count].encode(), "root of %d" % count)
        if count < len(INPUTS):
            tree.add(sha256(b"\x00" + unhexlify(INPUTS[count])))


def check_a_tree_goes_on_from_its_state():
    whole = leaves.Tree()
    cut = leaves.Tree()
    for i in range(150):
        whole.add(sha256(bytes((i,))))
        cut = leaves.Tree(cut.state())
        cut.add(sha256(bytes((i,))))
    expect(cut.count, 150)
    expect(cut.root(), whole.root())
    expect(len(whole.state()), 4 + 32 * 4)
    refuses("storage", leaves.Tree, whole.state()[:-1])
    refuses("storage", leaves.Tree, bytes(3))


def check_every_field_changes_a_leaf():
    base = (HOME, 0, 1, 7, bytes(32), bytes(512))
    seen = {leaves.leaf(*base)}
    for changed in (
        (leaves.home_id("Elm Row", 8), 0, 1, 7, bytes(32), bytes(512)),
        (HOME, 1, 1, 7, bytes(32), bytes(512)),
        (HOME, 0, 2, 7, bytes(32), bytes(512)),
        (HOME, 0, 1, 8, bytes(32), bytes(512)),
        (HOME, 0, 1, 7, b"\x01" * 32, bytes(512)),
        (HOME, 0, 1, 7, bytes(32), bytes(511) + b"\x01"),
    ):
        seen.add(leaves.leaf(*changed))
    expect(len(seen), 7)
    refuses("bad_message", leaves.leaf, HOME, 2, 1, 7, bytes(32), bytes(512))
    refuses("bad_message", leaves.leaf, HOME, 0, 1, 7, bytes(31), bytes(512))
    refuses("bad_message", leaves.leaf, HOME[1:], 0, 1, 7, bytes(32), bytes(512))


def check_homes_have_names_of_one_length():
    expect(len(HOME), 36)
    for street in ("", "x" * 33, "x\0"):
        refuses("bad_message", leaves.home_id, street, 1)


run(globals())
