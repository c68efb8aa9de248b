#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Talks with a peer: an event loop of Python's, in which nothing else waits.

    chat.py /dev/ivshmem0 1 (in a guest), chat.py unix:/run/ivshmem/a.sock 0 (on the host)

Lines of the standard input go to the peer; its end ends the program.
"""

import asyncio
import contextlib
import sys

import ivshmem


class Talk:
    """A channel, and whoever waits until there is something to do on it."""

    def __init__(self, channel: ivshmem.Channel) -> None:
        self.channel = channel
        self.changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(channel, self.changed.set)

    async def do(self, call, *arguments):
        """Make a call of the channel, and again when it might not have to wait."""
        while True:
            self.changed.clear()
            try:
                self.channel.connect(timeout=0)
                return call(*arguments, timeout=0)
            except BlockingIOError:
                await self.changed.wait()
            except ConnectionResetError:
                print("the other one has gone", flush=True)

    async def hear(self) -> None:
        """Print what the peer says."""
        while True:
            message = await self.do(self.channel.recv)
            print("peer:", message.data.decode(errors="replace"), flush=True)


async def main(address: str, peer: str) -> None:
    """Talk until the input ends."""
    with ivshmem.open(address) as handle:
        handle.join()
        with handle.channel(int(peer)) as channel:
            talk = Talk(channel)
            hearing = asyncio.create_task(talk.hear())
            while line := await asyncio.to_thread(sys.stdin.readline):
                await talk.do(channel.send, line.rstrip("\n").encode(), 0, 0)
            hearing.cancel()
            asyncio.get_running_loop().remove_reader(channel)
            # What is still on its way when the channel is closed is lost
            with contextlib.suppress(OSError):
                channel.drain(timeout=1)


if len(sys.argv) != 3:
    sys.exit("usage: chat.py DEVICE PEER")
try:
    asyncio.run(main(*sys.argv[1:]))
except OSError as error:
    sys.exit(f"chat.py: {error}")
