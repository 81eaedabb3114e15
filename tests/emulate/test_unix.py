"""A meter as a process: the transport, the power cut, and the ways it can end."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushmeter.emulate import unix
from hushmeter.emulate.unix import MeterStopped, UnixMeter, allow_meters
from hushmeter.errors import HushmeterError
from hushmeter.link import Transport

ECHO = """
from hushfw.links.stdio import Stdio

link = Stdio()
link.open()
try:
    while True:
        link.write(link.read(1000))
except EOFError:
    open("ended", "w").close()
"""
BOOTS = """
import sys

try:
    boots = int(open("boots").read())
except OSError:
    boots = 0
with open("boots", "w") as file:
    file.write(str(boots + 1))
sys.stdout.write("boot %d" % boots)
sys.stdin.read()
"""
MUTE = """
import time

time.sleep(60)
"""
CHATTY = """
from hushfw.links.stdio import Stdio

link = Stdio()
for _ in range(400):
    link.write(bytes(1000))
while True:
    link.write(link.read(1000))
"""


@pytest.fixture
def meter(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[UnixMeter]:
    """A meter that runs the script given as the fixture's parameter, echo by default."""
    script = tmp_path / "script.py"
    script.write_text(getattr(request, "param", ECHO))
    meter = UnixMeter(tmp_path / "meter", script=script)
    meter.start()
    yield meter
    meter.kill()


def read_exactly(meter: UnixMeter, size: int) -> bytes:
    data = b""
    deadline = time.monotonic() + 20
    while len(data) < size and time.monotonic() < deadline:
        data += meter.read(1.0)
    return data


def test_it_is_a_transport(meter: UnixMeter) -> None:
    assert isinstance(meter, Transport)
    assert meter.fileno() is not None


def test_every_byte_value_comes_back(meter: UnixMeter) -> None:
    meter.write(bytes(range(256)))
    assert read_exactly(meter, 256) == bytes(range(256))


def test_reading_with_nothing_there_returns_in_time(meter: UnixMeter) -> None:
    began = time.monotonic()
    assert meter.read(0.2) == b""
    assert 0.15 < time.monotonic() - began < 2


def test_two_full_pipes_do_not_block_each_other(meter: UnixMeter) -> None:
    message = bytes(i % 256 for i in range(1_000_000))
    meter.write(message)
    assert read_exactly(meter, len(message)) == message


@pytest.mark.parametrize("meter", [CHATTY], indirect=True)
def test_writing_goes_on_while_the_meter_waits_to_be_read(meter: UnixMeter) -> None:
    meter.write(b"x" * 200_000)
    said = read_exactly(meter, 600_000)
    assert said == bytes(400_000) + b"x" * 200_000


@pytest.mark.parametrize("meter", [BOOTS], indirect=True)
def test_a_kill_keeps_the_storage_and_nothing_else(meter: UnixMeter) -> None:
    assert read_exactly(meter, 6) == b"boot 0"
    meter.kill()
    assert not meter.running
    meter.start()
    assert read_exactly(meter, 6) == b"boot 1"
    assert meter.files() == {"boots": b"2"}


def test_output_of_a_killed_meter_does_not_reach_its_successor(meter: UnixMeter) -> None:
    meter.write(b"before")
    time.sleep(0.2)
    meter.kill()
    meter.start()
    meter.write(b"after")
    assert read_exactly(meter, 5) == b"after"


def test_a_meter_ends_when_its_host_is_gone(meter: UnixMeter) -> None:
    meter.write(b"x")
    assert read_exactly(meter, 1) == b"x"
    meter.close()
    assert meter.wait(1.0) == 0
    assert "ended" in meter.files()


def end_of(meter: UnixMeter) -> MeterStopped:
    """Read until the meter is found to have ended."""
    with pytest.raises(MeterStopped) as caught:
        for _ in range(100):
            meter.read(10.0)
    return caught.value


@pytest.mark.parametrize("meter", ["raise ValueError('no load file')"], indirect=True)
def test_a_meter_that_fails_says_why(meter: UnixMeter) -> None:
    error = end_of(meter)
    assert "exit code 1" in error.message
    assert "no load file" in str(error.hint)
    with pytest.raises(MeterStopped):
        meter.write(b"x")


@pytest.mark.parametrize("meter", ["import sys\nsys.stderr.write('odd')"], indirect=True)
def test_what_went_to_standard_error_is_kept(meter: UnixMeter) -> None:
    assert end_of(meter).hint == "odd"
    assert meter.stderr_tail() == "odd"


@pytest.mark.parametrize("meter", [MUTE], indirect=True)
def test_a_meter_that_takes_no_input_is_given_up(
    meter: UnixMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix, "WRITE_TIMEOUT_S", 0.3)
    with pytest.raises(MeterStopped, match="took no input"):
        meter.write(bytes(1_000_000))
    with pytest.raises(MeterStopped, match="still runs"):
        meter.wait(0.05)


@pytest.mark.parametrize("meter", ["bytearray(600000)"], indirect=True)
def test_the_heap_is_limited_as_the_boards_file_says(meter: UnixMeter) -> None:
    assert "MemoryError" in str(end_of(meter).hint)


def test_a_running_meter_is_not_started_twice(meter: UnixMeter) -> None:
    with pytest.raises(HushmeterError, match="runs already"):
        meter.start()


def test_a_missing_interpreter_is_a_clear_error(tmp_path: Path) -> None:
    meter = UnixMeter(tmp_path / "meter", interpreter=tmp_path / "absent")
    with pytest.raises(HushmeterError, match="cannot be started"):
        meter.start()
    with pytest.raises(MeterStopped, match="not started"):
        meter.write(b"x")


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_meter_costs_two_descriptors_and_gives_them_back(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    before = open_files()
    meters = [UnixMeter(tmp_path / f"meter{i}", script=script) for i in range(10)]
    for meter in meters:
        meter.start()
    assert open_files() == before + 20
    for meter in meters:
        meter.kill()
    assert open_files() == before


def test_more_meters_than_the_system_allows_are_refused() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system sets no limit on open files")
    with pytest.raises(HushmeterError, match="open files"):
        allow_meters(hard)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
