"""The kernel's texts are read right, checked against the process that runs this."""

import mmap
import os
import socket
import time

import pytest

from loadtest import procfs


def test_the_name_of_a_program_may_hold_blanks_and_brackets() -> None:
    stat = "7 (a b) (c) ) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 100 1000 10 18446744073709551615"
    assert procfs.cpu_seconds(stat) == 200 / os.sysconf("SC_CLK_TCK")


def test_own_processor_time_is_what_the_kernel_says() -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert procfs.usage(os.getpid()).cpu == pytest.approx(time.process_time(), abs=0.05)


def test_usage_between_two_moments_is_their_difference() -> None:
    assert procfs.Usage(3.0, 2.0) - procfs.Usage(1.0, 1.5) == procfs.Usage(2.0, 0.5)


def test_the_run_queue_delay_is_the_second_number() -> None:
    assert procfs.waited_seconds("5000000 1500000000 42\n") == 1.5


def test_memory_that_is_touched_is_resident() -> None:
    size = 32_000_000
    # From the kernel: an allocator may have memory left that is resident already.
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        before = procfs.resident(os.getpid())
        for page in range(0, size, mmap.PAGESIZE):
            block[page] = 1
        after = procfs.resident(os.getpid())
    assert after.anonymous - before.anonymous == pytest.approx(size, rel=0.2)
    assert after.pss - before.pss == pytest.approx(size, rel=0.3)


def test_resident_memory_is_not_one_of_its_parts() -> None:
    text = (
        "00400000-7ffd [rollup]\nRss:  9000 kB\nPss:  4321 kB\nPss_Dirty: 1 kB\nPss_Anon:  77 kB\n"
        "Anonymous: 4000 kB\nAnonHugePages: 5 kB\n"
    )
    assert procfs.resident_bytes(text) == procfs.Resident(anonymous=4000 * 1024, pss=4321 * 1024)


def test_the_slabs_are_not_one_of_their_parts() -> None:
    text = "MemTotal: 9 kB\nKReclaimable: 3 kB\nSlab:        88 kB\nSReclaimable:  44 kB\n"
    assert procfs.slab_bytes(text) == 88 * 1024


def test_a_kernel_without_a_number_is_told() -> None:
    with pytest.raises(ValueError, match=r"no 'Pss:': Linux 4\.14"):
        procfs.resident_bytes("Anonymous: 1 kB\n")


def test_socket_memory_counts_pages_of_tcp() -> None:
    text = "sockets: used 12\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 96\nUDP: inuse 0 mem 5\n"
    assert procfs.sockstat_bytes(text) == 96 * os.sysconf("SC_PAGE_SIZE")


def test_a_socket_is_a_descriptor() -> None:
    before = procfs.descriptors(os.getpid())
    with socket.socket():
        assert procfs.descriptors(os.getpid()) == before + 1
