# SPDX-License-Identifier: GPL-2.0-only
"""A database on the disk, whose back end is killed again and again."""

import os

from lab import BlkServer, ivshmem_doorbell
from lab.agent import poll_until

from .guest import module

BOUND = 300
VECTORS = 2
DISK = 64 << 20
KILLS = 10
MOUNTED = "/run/disk"

# Moves money between accounts until a file appears; prints how often.
BANK = """
import os, random, sqlite3, sys
mounted, told, end = sys.argv[1:]
bank = sqlite3.connect(f"{mounted}/bank", isolation_level=None)
bank.execute("pragma synchronous = full")
bank.execute("create table account (number integer primary key, money integer)")
bank.execute("create table log (number integer primary key, text)")
bank.executemany("insert into account values (?, 100)", [(n,) for n in range(100)])
moved = 0
while not os.path.exists(end):
    one, other = random.sample(range(100), 2)
    bank.execute("begin")
    bank.execute("update account set money = money - 1 where number = ?", (one,))
    bank.execute("update account set money = money + 1 where number = ?", (other,))
    bank.execute("insert into log (text) values (?)", ("x" * random.randrange(4000),))
    bank.execute("commit")
    moved += 1
    with open(told, "w") as file:
        file.write(str(moved))
print(moved)
"""

AUDIT = """
import sqlite3, sys
bank = sqlite3.connect(f"{sys.argv[1]}/bank")
print(*bank.execute("pragma integrity_check").fetchone(),
      *bank.execute("select sum(money), count(*) from account").fetchone(),
      *bank.execute("select count(*) from log").fetchone())
"""


def test_database_survives_back_ends(servers, vms, tmp_path):
    """Transactions go on while the back end is killed; none is lost or done in part."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, DISK)
    server = servers(peers=2, vectors=VECTORS, size="32M", layout="blk=disk:16M")
    vm = vms("a", devices=[ivshmem_doorbell(server, VECTORS)])
    (vm.share / "bank.py").write_text(BANK)
    (vm.share / "audit.py").write_text(AUDIT)
    told = vm.share / "told"

    def moved() -> int:
        return int((told.exists() and told.read_text()) or 0)

    with BlkServer(server, image) as back:
        vm.load_driver()
        vm.run(f"insmod {module(vm)}")
        vm.wait_for("test -b /dev/ivblk0")
        vm.run(f"mkfs.ext4 -q /dev/ivblk0 && mkdir {MOUNTED} && "
               f"mount /dev/ivblk0 {MOUNTED}")
        bank = vm.spawn(["python3", "/mnt/share/bank.py", MOUNTED, "/mnt/share/told",
                         "/mnt/share/end"])
        for _ in range(KILLS):
            wanted = moved() + 5
            poll_until(lambda: moved() >= wanted or bank.poll() is not None, BOUND,
                       "transactions")
            assert bank.poll() is None, bank.wait(BOUND)
            back.kill()
            back.start()
        (vm.share / "end").touch()
        done = bank.wait(BOUND)
        assert done.returncode == 0, done
        # What is read now is on the disk.
        vm.run(f"umount {MOUNTED} && mount /dev/ivblk0 {MOUNTED}")
        said = vm.run(["python3", "/mnt/share/audit.py", MOUNTED]).stdout.split()
        assert said == ["ok", "10000", "100", done.stdout.strip()]
        vm.run(f"umount {MOUNTED} && fsck.ext4 -f -n /dev/ivblk0")
