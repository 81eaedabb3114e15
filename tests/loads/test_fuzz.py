"""Whatever is in a file, the readers give a load or a HushmeterError, and never anything else."""

import gzip
from random import Random

import pytest

from hushmeter.errors import HushmeterError
from hushmeter.loads import Load, read_load

UCI = "Date;Time;Global_active_power;Voltage\n" + "".join(
    f"{1 + minute // 20}/2/2007;23:{minute % 20 + 40:02}:00;{minute / 1000};241.0\n"
    for minute in range(20)
)
WIDE = "stamp,h0,h1\n" + "".join(
    f"2009-04-01T{row // 2:02}:{row % 2 * 30:02},{row * 3.25},{row}\n" for row in range(30)
)
SEEDS = (UCI.encode(), WIDE.encode(), gzip.compress(WIDE.encode(), mtime=0))
TOKENS = (
    b'\n|\r|\r\n|\0|;|,|"|?|-|.|/|:|e|e9|nan|inf|\xff|\xc3\xa9|\xef\xbb\xbf|1_0|1e9999|-1e-9999|'
    b"99999999999999999999|0000-00-00|9999-12-31T23:59|31/12/9999|2009-04-01T00:00+23:59"
).split(b"|")


def mutated(random: Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((0, 1, 1, 4, 40, 400)))
        kind = random.randrange(5)
        if kind == 0:
            data[at:end] = b""
        elif kind == 1:
            data[at:end] = random.choice(TOKENS)
        elif kind == 2:
            data[at:end] = random.randbytes(end - at)
        elif kind == 3:
            data[at:at] = data[end : end + 60]
        else:
            data[:] = data[: random.randrange(len(data) + 1)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(len(SEEDS)), ids=("uci", "wide", "gzip"))
def test_a_mutated_file_is_a_load_or_a_hushmeter_error(tmp_path, seed):
    random = Random(seed)
    path = tmp_path / "load.csv"
    read, refused = 0, 0
    for _ in range(3000):
        path.write_bytes(mutated(random, SEEDS[seed]))
        try:
            load = read_load(path, allow_export=bool(random.getrandbits(1)))
        except HushmeterError as error:
            refused += 1
            assert str(error).startswith("load.csv")
        else:
            read += 1
            assert isinstance(load, Load)
            assert abs(load.energy_ws).max() <= min(10**6 * load.row_s, 2**31 - 1)
            assert not load.energy_ws[load.missing].any()
    assert refused > 100
    assert read > (0 if seed == len(SEEDS) - 1 else 100)
