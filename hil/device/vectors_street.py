"""One report and one answer of a meter among five, with every key that is in them.

tests/core/test_masking.py makes all of it anew with independent code. The meter has the id 30; the
member 50 is silent. VALUES are readings plus noise shares, RECOVERY the words C; the keys are those
of DAY, one ratchet step after the roster's.
"""

IDS = (10, 20, 30, 40, 50)
OWN_ID = 30
OWN_INDEX = 2
SLOT = 4242
DAY = 20000
SILENT = b"\x10"
VALUES = (1234, -567)
RECOVERY = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
STREET = {
    "roster": "a39b07112a155d594bb1303b2d095fa327c765540db5472f194857ea4f76934e",
    "own": "8de56eab7ed0bd184f23e1d852a14ffd88bea20f654946a6dcd9540873c64e19",
    "supplier": (
        "1f473545b2040f9da7a1d4ed6656f0cc117225647a7c9578ea78a17eba264e21",
        "41acae462474554db8df7e8cda381d698f531403120ee85c07bacd29ecc9731f",
    ),
    "pairs": {
        10: (
            "ef623bb43664deb0b6e6c4a78453b8bcfc51e4e1d5b083d482363c649cc2074d",
            "66cc6ab72588ca8e7cf4ed100e873f078a70fe1aefd8f53d932a9006a09fce07",
            "cf495aeee8de92e24adf66370dc3a6cb",
            "59f636e16df7e19b499c7ea1087dcc0d",
        ),
        20: (
            "773427ab94e18ea44136305898f9bca0ec6d440c2dd459113dc572aea3b88342",
            "0c3ad93ad1db1432f832c876aaf65b8d4f076119d0ea3c78f442d7267c55d018",
            "4a9fdc2e3fb6f5a8ba6d71a39f1abf70",
            "328538e67e7e3d1a10b7be5a6047c5cb",
        ),
        40: (
            "27a31758d4d2a461611a3701b91d14f3ffb337904b5e2c4d0250d4097fa7b411",
            "9574011c5882652388163debb408be8cc3e8cad88c9eb40592183c4a4939213b",
            "ff4ebaf2fa01e92cdb2d6b03a842bf37",
            "0f8ff10cb7c39e5c98d60051768d90a3",
        ),
        50: (
            "54fb1cbe77537c4f341809274ee08581fecd37ea213bbc741e2bb6be51fcad34",
            "28ff8ab523a7a3bc7e3fff50f0821cf548a25e8ca67cbbfba9a1b16ef972ab5c",
            "7facbd33363c03cba5d28a77602c9d49",
            "fc702be4b3d59f14772e33f78f84c80a",
        ),
    },
    "tag_up": "4b27226d6ff6354ae123573d1ab6f927cd80e8d2ba2a7c980dc56a5cd8c4a622",
    "keystream": "d2aeac42c3c5eb33cd24e89d5f9a2673",
    "digest": "6902103b3f463821838d1afeed07edf5b50c25f548a2d12c79fd4069e225fe97",
}
WORDS = {
    1: {
        "report": "051c0c2c372c83be",
        "answer": "b120d7b1fddb17eb",
        "report_tag": "d30a90fcd70e0f7c20521fd3d4bf9dec",
        "answer_tag": "dfd88cbc6ee5077c6fa653efd013172e",
    },
    2: {
        "report": "051c0c2c372c83be9e1377d3cda54671",
        "answer": "b120d7b1fddb17ebfcaae9ccf5524345",
        "report_tag": "511b681c1a207bd0cc449022ffdd12f0",
        "answer_tag": "0614e53e33aa210586c6ecbd7ffbd6e9",
    },
}
