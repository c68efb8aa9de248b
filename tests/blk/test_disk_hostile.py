# SPDX-License-Identifier: GPL-2.0-only
"""Back ends that lie: the guest notices, stays whole, and its other disks go on."""

import contextlib
import hashlib
from typing import Any, Callable, Iterator

import pytest

from lab.agent import poll_until
from tests.net.card import FUNCTIONS
from tests.net.card import module as card_module
from tests.vm.guest import DRIVER

from .backend import (FRONT_END, HELLO, IO_ERROR, NO_SPACE, READ, REQUEST, Over,
                      PythonBackEnd, Request, hello, response)
from .guest import BOUND, NODE, Disk, device, folder, module

# The second disk is that of an honest back end
LAYOUT = "blk=disk0:48M:queues=2,,blk=good:48M:queues=2"
GOOD = "/dev/ivblk1"
SECTORS = 16384


@pytest.fixture(scope="module")
def disk(module_vms: Any, module_servers: Any) -> Iterator[Disk]:
    """A guest with two disks, one of which has an honest back end."""
    server = module_servers(size="128M", vectors=4, peers=4, layout=LAYOUT)
    vm = module_vms("victim", [device(server)], memory="512M")
    with folder() as directory:
        disk = Disk(server, vm, directory, 64 << 20)
        vm.load_driver()
        disk.load("reconnect_timeout=3600")
        disk.serve(disk.image, "--section", "good")
        vm.run(f"until [ -b {GOOD} ]; do busybox sleep 0.02; done", BOUND)
        yield disk
        disk.stop()


@contextlib.contextmanager
def serving(disk: Disk, **said: Any) -> Iterator[PythonBackEnd]:
    """A back end of the first disk."""
    with PythonBackEnd(disk.server.socket, 4, SECTORS, **said) as back:
        yield back


def faults(disk: Disk) -> int:
    """How often the driver has found the back end at fault."""
    return disk.counters()["faults"]


def good(disk: Disk) -> None:
    """The other disk works."""
    disk.run(f"dd if=/dev/urandom of={GOOD} bs=64k count=8 oflag=direct status=none")


def test_honest(disk: Disk) -> None:
    """The back end of these tests is one, when it wants to."""
    with serving(disk) as back:
        disk.wait()
        disk.run("head -c 1M /dev/urandom > /run/data && "
                 "dd if=/run/data of=/dev/ivblk0 bs=64k oflag=direct status=none && "
                 "dd if=/dev/ivblk0 bs=64k count=16 iflag=direct status=none | "
                 "cmp - /run/data")
        assert hashlib.sha256(back.disk[:1 << 20]).hexdigest() in disk.run("sha256sum /run/data")
    good(disk)


LIES: dict[str, Callable[[Request], None]] = {
    "unknown": lambda request: request.reply(number=request.number ^ 0x10000),
    "no-tag": lambda request: request.reply(number=request.number | 0xffff),
    "short": lambda request: request.reply(payload=response(request.number)[:8]),
    "request": lambda request: request.reply(payload=bytes(32), kind=REQUEST),
    "bad-hello": lambda request: request.reply(payload=hello(SECTORS, block=513), kind=HELLO),
    "front-end": lambda request: request.reply(payload=hello(SECTORS, role=1), kind=HELLO),
    "nobody": lambda request: request.reply(payload=hello(SECTORS, role=7), kind=HELLO),
}


@pytest.mark.attack("A28", "A29")
@pytest.mark.parametrize("lie", LIES)
def test_lies(disk: Disk, lie: str) -> None:
    """A record that cannot be ends the session; what was asked for is done in the next."""
    with serving(disk) as back:
        disk.wait()
        before, told = faults(disk), []

        def answer(request: Request) -> None:
            if not told:
                told.append(request)
                LIES[lie](request)
            else:
                back.honest(request)

        back.answer = answer
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=1 iflag=direct status=none")
        assert told and faults(disk) > before
        disk.wait()
    good(disk)


@pytest.mark.attack("A28")
def test_answers_twice(disk: Disk) -> None:
    """A second answer to one request is none, even if its tag is used again."""
    with serving(disk) as back:
        disk.wait()
        before, told = faults(disk), []

        def answer(request: Request) -> None:
            back.honest(request)
            if len(told) < 1:
                told.append(request)
                request.reply()

        back.answer = answer
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=4 iflag=direct status=none")
        assert faults(disk) == before + 1
    good(disk)


def test_says_what_is_wrong(disk: Disk) -> None:
    """Errors of the medium reach programs as what they are."""
    with serving(disk) as back:
        disk.wait()
        for status, text in ((IO_ERROR, "Input/output error"), (NO_SPACE, "No space left"),
                             (77, "Input/output error")):
            back.answer = lambda request, status=status: request.reply(status)
            assert text in disk.fails(
                "dd if=/dev/zero of=/dev/ivblk0 bs=4k count=1 oflag=direct")
        back.answer = back.honest
        disk.run("dd if=/dev/zero of=/dev/ivblk0 bs=4k count=1 oflag=direct status=none")


@pytest.mark.attack("A30")
def test_changes_data(disk: Disk) -> None:
    """What is rewritten behind an answer is not seen twice: a read is one copy."""
    with serving(disk) as back:
        disk.wait()

        def answer(request: Request) -> None:
            back.honest(request)
            if request.operation == READ:
                back.publish(request.link, request.queue)
                for value in range(256):
                    back.words.bytes[request.span(back.slot, request.link.peer)] = \
                        bytes([value]) * request.length

        back.answer = answer
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=64k count=64 iflag=direct status=none")
    good(disk)


@pytest.mark.attack("A17")
def test_floods(disk: Disk) -> None:
    """Records without end and doorbells without end stop nobody else."""
    with serving(disk) as back:
        disk.wait()
        link = next(link for link in back.links if link.state == "up" and back._numbers[link.peer])

        def answer(request: Request) -> None:
            back.honest(request)
            for number in range(200):
                request.link.tx[0].put(99 if number % 2 else HELLO,
                                       hello(SECTORS - number % 8, queues=2))
                back.publish(request.link, 0, always=True)

        back.answer = answer
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=64 iflag=direct status=none")
        good(disk)
        assert link.sessions == 1


def silent(_request: Request) -> None:
    """No answer, though the link is up."""


def ended(request: Request) -> None:
    """Another session, before that has lasted too long."""
    raise Over(request.number)


@pytest.mark.attack("A31")
@pytest.mark.parametrize("answer", [silent, ended])
def test_never_answers(disk: Disk, answer: Callable[[Request], None]) -> None:
    """Who does not answer is given up."""
    with serving(disk) as back:
        disk.wait()
        disk.timeout(1)
        back.answer = answer
        assert "Input/output error" in disk.fails(
            "dd if=/dev/ivblk0 of=/dev/null bs=4k count=1 iflag=direct")
        good(disk)
        back.answer = back.honest
        disk.timeout(3600)
        disk.wait()
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=1 iflag=direct status=none")


@pytest.mark.attack("A11")
def test_begins_anew_and_is_no_back_end(disk: Disk) -> None:
    """As a machine that was reset, without the program: requests wait for another one."""
    with serving(disk) as back:
        disk.wait()
        link = next(link for link in back.links if link.state == "up")
        beat = back._member.heart
        poll_until(lambda: back._member.heart > beat + 6, BOUND, "a session that has settled")
        with back.lock:
            back.links.remove(link)
            back._member.join()
        disk.wait("waiting")
        back.links.append(link)
        disk.wait()
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=16 iflag=direct status=none")


# Has the kernel write to a page of the disk, which it has to read first, while it holds the
# lock of all network devices
HOLD_RTNL = """
import ctypes, fcntl, mmap, os, socket, struct
page = mmap.mmap(os.open('/dev/ivblk0', os.O_RDWR), 4096, offset=1 << 20)
place = ctypes.addressof(ctypes.c_char.from_buffer(page))
socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(socket, 0x8912, struct.pack('i4xQ', 4096, place))
"""


@pytest.mark.attack("A06", "A31")
@pytest.mark.parametrize("way", ["erased", "unbound"])
def test_gone_below_a_request(vms: Any, servers: Any, way: str) -> None:
    """Who waits for it holds what the network card in front needs to go: nobody waits."""
    server = servers(size="128M", vectors=4, peers=4, layout="net=lan:16M,,blk=disk0:48M:queues=2")
    vm = vms("victim", [device(server)], memory="512M")
    vm.load_driver()
    vm.run(f"insmod {card_module(vm)} && insmod {module(vm)} reconnect_timeout=3600 && "
           "ip link set lo up && ip address add 10.88.1.1/32 dev lo")
    asked: list[Request] = []
    with PythonBackEnd(server.socket, 4, SECTORS) as back:
        vm.run(f"until [ -b {NODE} ]; do busybox sleep 0.02; done", BOUND)
        back.answer = asked.append
        holder = vm.spawn(["/usr/bin/python3", "-c", HOLD_RTNL])
        poll_until(lambda: asked, BOUND, "a request")
        if way == "erased":
            back.memory.erase()
        else:
            vm.run(f"cd {DRIVER} && echo 0000:00:10.0 > unbind", BOUND)
        assert holder.wait(BOUND).returncode != 0
        vm.run(f"until [ ! -e {NODE} ] && ! ls {FUNCTIONS} | grep -q net; do "
               "busybox sleep 0.02; done", BOUND)
        back.links.clear()


@pytest.mark.attack("A06", "A31")
def test_erased_below_a_journal(vms: Any, servers: Any) -> None:
    """The first disk goes when its file system has been written back, which the second holds."""
    server = servers(size="128M", vectors=4, peers=4, layout="blk=disk0:48M,,blk=disk1:48M")
    vm = vms("victim", [device(server)], memory="512M")
    vm.load_driver()
    vm.run(f"insmod {module(vm)} reconnect_timeout=3600")
    asked: list[Request] = []
    with PythonBackEnd(server.socket, 4, SECTORS) as first, \
            PythonBackEnd(server.socket, 4, SECTORS, "disk1") as second:
        vm.run(f"""
            until [ -b {NODE} ] && [ -b {GOOD} ]; do busybox sleep 0.02; done
            mkfs.ext4 -q -b 4096 -O journal_dev {GOOD} &&
            mkfs.ext4 -q -b 4096 -J device={GOOD} {NODE} &&
            mkdir -p /run/mounted && mount {NODE} /run/mounted && echo 1 > /run/mounted/file
            """, BOUND)
        second.answer = asked.append
        writer = vm.spawn("sync /run/mounted/file")
        poll_until(lambda: asked, BOUND, "a request of the journal")
        first.memory.erase()
        writer.wait(BOUND)
        vm.run(f"until [ ! -e {NODE} ] && [ ! -e {GOOD} ]; do busybox sleep 0.02; done", BOUND)
        for back in (first, second):
            back.links.clear()


@pytest.mark.attack("A14")
@pytest.mark.parametrize("queue", [0, 1])
def test_what_was_sent_is_taken_back(disk: Disk, queue: int) -> None:
    """By somebody else, while nothing is sent: the back end would never see it."""
    with serving(disk) as back:
        disk.wait()
        before = faults(disk)
        ring = next(link for link in back.links
                    if link.state == "up" and back._numbers[link.peer]).rx[queue]
        with back.lock:
            back.words.store(ring.other, back.words.load(ring.other) ^ 64)
            poll_until(lambda: faults(disk) > before, BOUND, "a session that ends")
        disk.wait()
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=16 iflag=direct status=none")
    good(disk)


def test_second_back_end(disk: Disk) -> None:
    """A second back end of a section is not used as long as the first one is there."""
    with serving(disk):
        disk.wait()
        with serving(disk) as second:
            disk.run("until dmesg | tail -n 2 | grep -q 'there is another back end'; do "
                     "busybox sleep 0.02; done")
            disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=16 iflag=direct status=none")
            assert second.requests == 0


@pytest.mark.attack("A20")
@pytest.mark.parametrize("lie", [
    hello(SECTORS, queues=2, serial=b"another"), hello(8, queues=2),
    hello(SECTORS, role=FRONT_END)], ids=["serial", "smaller", "role"])
def test_asks_again(disk: Disk, lie: bytes) -> None:
    """What was made of a hello on its way counts no more once the truth can be heard."""
    with serving(disk):
        disk.wait()
    hears_the_truth(disk, lie)


@pytest.mark.attack("A20")
def test_asks_again_before_there_is_a_disk(disk: Disk) -> None:
    """Who was taken for a front end may be a back end."""
    disk.unload()
    disk.load("reconnect_timeout=3600")
    hears_the_truth(disk, hello(SECTORS, role=FRONT_END))


def hears_the_truth(disk: Disk, lie: bytes) -> None:
    """The back end's first hello is a lie, another one is not."""
    back = PythonBackEnd(disk.server.socket, 4, SECTORS)
    truth, back.hellos = back.hellos, [lie]
    with back:
        poll_until(lambda: back.sessions > 1, BOUND, "another session")
        back.hellos = truth
        disk.wait()
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=16 iflag=direct status=none")


@pytest.mark.attack("A20")
def test_is_as_large_as_before(disk: Disk) -> None:
    """A disk that was said to be larger, and is not, is used all the same."""
    with serving(disk):
        disk.wait()
    back = PythonBackEnd(disk.server.socket, 4, SECTORS)
    truth, back.hellos = back.hellos, [hello(2 * SECTORS, queues=2, serial=b"python")]
    with back:
        poll_until(lambda: disk.sectors() == 2 * SECTORS, BOUND, "a larger disk")
        back.hellos = truth
        with back.lock:
            for link in back.links:
                link.end()
        poll_until(lambda: disk.sectors() == SECTORS, BOUND, "a disk of its size")
        disk.wait()
        disk.run("dd if=/dev/ivblk0 of=/dev/null bs=4k count=16 iflag=direct status=none")
