# SPDX-License-Identifier: GPL-2.0-only
"""Ethernet frames: made, taken apart, and answered as a small host would."""

import socket
import struct
from dataclasses import dataclass

BROADCAST = b"\xff" * 6
ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86dd
ICMP, TCP, UDP = 1, 6, 17
ETHERNET = 14

NEEDS_CSUM, DATA_VALID = 1, 2
GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 3, 4, 5, 0x80


@dataclass(frozen=True)
class Header:
    """What precedes a frame: struct virtio_net_hdr, filled up to 16 bytes."""

    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    def pack(self) -> bytes:
        """Its 16 bytes."""
        return struct.pack("<BBHHHH6x", self.flags, self.gso_type, self.hdr_len,
                           self.gso_size, self.csum_start, self.csum_offset)

    @classmethod
    def unpack(cls, data: bytes) -> "Header":
        """The first bytes of a payload."""
        return cls(*struct.unpack_from("<BBHHHH", data))


def checksum(data: bytes) -> int:
    """The Internet's; 0 over data that holds a right one."""
    data += bytes(len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return value ^ 0xffff


def ethernet(target: bytes, source: bytes, kind: int, payload: bytes) -> bytes:
    """A frame, filled up to the 60 bytes that a wire carries at least."""
    return (target + source + struct.pack("!H", kind) + payload).ljust(60, b"\0")


def pseudo(source: str, target: str, protocol: int, length: int) -> bytes:
    """What checksums of TCP and UDP over IPv4 cover beside the packet."""
    return (socket.inet_aton(source) + socket.inet_aton(target)
            + struct.pack("!BBH", 0, protocol, length))


def ipv4(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet."""
    head = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0x4000, 64,
                                 protocol, 0, socket.inet_aton(source),
                                 socket.inet_aton(target)))
    struct.pack_into("!H", head, 10, checksum(bytes(head)))
    return bytes(head) + payload


def udp(source: str, target: str, ports: tuple[int, int], data: bytes,
        complete: bool = True) -> bytes:
    """An IPv4 packet with UDP; its checksum as software or as an offload wants it."""
    head = struct.pack("!HHHH", *ports, 8 + len(data), 0)
    over = pseudo(source, target, UDP, 8 + len(data))
    value = checksum(over + head + data) or 0xffff if complete else checksum(over) ^ 0xffff
    return ipv4(source, target, UDP, head[:6] + struct.pack("!H", value) + data)


def tcp(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """An IPv4 packet with TCP, whose checksum is left to an offload."""
    value = checksum(pseudo(source, target, TCP, 20 + len(data))) ^ 0xffff
    head = struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, 0x10, 1024, value, 0)
    return ipv4(source, target, TCP, head + data)


def arp(operation: int, mac: bytes, address: str, other: bytes, wanted: str) -> bytes:
    """An ARP packet: 1 asks, 2 answers."""
    return struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, operation, mac,
                       socket.inet_aton(address), other, socket.inet_aton(wanted))


def echo(kind: int, number: int, data: bytes) -> bytes:
    """An ICMP echo: 8 asks, 0 answers."""
    head = struct.pack("!BBHHH", kind, 0, 0, 0x4956, number)
    return head[:2] + struct.pack("!H", checksum(head + data)) + head[4:] + data


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet within a frame."""

    source: str
    target: str
    protocol: int
    payload: bytes

    @classmethod
    def of(cls, frame: bytes) -> "Packet | None":
        """The one in a frame; None if there is none."""
        if len(frame) < ETHERNET + 20 or frame[12:14] != b"\x08\x00":
            return None
        head = frame[ETHERNET:]
        size = (head[0] & 15) * 4
        length = struct.unpack_from("!H", head, 2)[0]
        return cls(socket.inet_ntoa(head[12:16]), socket.inet_ntoa(head[16:20]), head[9],
                   head[size:length])


class Host:
    """Answers ARP and echoes for one address, and keeps what it was answered."""

    def __init__(self, mac: bytes, address: str) -> None:
        self.mac = mac
        self.address = address
        self.known: dict[str, bytes] = {}
        self.echoed: set[int] = set()

    def answer(self, frame: bytes) -> bytes | None:
        """What to send for a frame."""
        if frame[:6] not in (self.mac, BROADCAST):
            return None
        if frame[12:14] == b"\x08\x06" and len(frame) >= 42:
            return self._arp(frame)
        packet = Packet.of(frame)
        if not packet or packet.target != self.address or packet.protocol != ICMP:
            return None
        if checksum(packet.payload):
            return None
        if packet.payload[0] == 0:
            self.echoed.add(struct.unpack_from("!H", packet.payload, 6)[0])
            return None
        reply = bytearray(packet.payload)
        reply[0:4] = bytes(4)
        struct.pack_into("!H", reply, 2, checksum(bytes(reply)))
        return ethernet(frame[6:12], self.mac, IPV4,
                        ipv4(self.address, packet.source, ICMP, bytes(reply)))

    def _arp(self, frame: bytes) -> bytes | None:
        operation, mac, source, _, target = struct.unpack_from("!6xH6s4s6s4s", frame, ETHERNET)
        if target != socket.inet_aton(self.address):
            return None
        self.known[socket.inet_ntoa(source)] = mac
        if operation != 1:
            return None
        return ethernet(mac, self.mac, ARP,
                        arp(2, self.mac, self.address, mac, socket.inet_ntoa(source)))
