// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opens TAP devices, and says what is wrong and what to do about it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>

#include "command.h"
#include "tap_device.h"

#define TUN_PATH	"/dev/net/tun"

/* Newer than the headers of some systems */
#ifndef TUN_F_USO4
#define TUN_F_USO4	0x20
#define TUN_F_USO6	0x40
#endif

/* More than any frame from a TAP device that is cut by the kernel itself */
#define FRAME_UNCUT	(65535U + 14U)

static const char *tun_error(int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return "the kernel has no TAP devices; load its module tun "
		       "(modprobe tun)";
	case EACCES:
		return "permission denied; it is usually open to all, mode "
		       "0666";
	default:
		return strerror(error);
	}
}

static void explain(const char *name, int error)
{
	switch (error) {
	case EPERM:
		complain("%s: only root may make a TAP device, or use another "
			 "user's; prepare one: ip tuntap add %s mode tap user "
			 "USER", name, strchr(name, '%') ? "tap0" : name);
		break;
	case EBUSY:
		complain("%s: another program uses it; choose another one by "
			 "--tap", name);
		break;
	case EINVAL:
		complain("%s: it is an interface, but no TAP device; choose "
			 "another one by --tap", name);
		break;
	default:
		complain("%s: %s", name, strerror(error));
	}
}

static int set_interface(int fd, const char *name, short flags,
			 struct ifreq *request)
{
	memset(request, 0, sizeof(*request));
	strncpy(request->ifr_name, name, sizeof(request->ifr_name) - 1);
	request->ifr_flags = flags;
	return ioctl(fd, TUNSETIFF, request) ? errno : 0;
}

static int attach_interface(struct tap_device *tap, const char *name)
{
	short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq request;
	int error;

	error = set_interface(tap->fd, name, flags, &request);
	/* One that was prepared for several queues is used with one. */
	if (error == EINVAL)
		error = set_interface(tap->fd, name, flags | IFF_MULTI_QUEUE,
				      &request);
	if (error) {
		explain(name, error);
		return -1;
	}
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	tap->name[sizeof(tap->name) - 1] = 0;
	return 0;
}

/* The header as it is in a ring: 16 bytes, little-endian everywhere. */
static int set_header(struct tap_device *tap)
{
	int size = (int)FRAME_HEADER, on = 1;

	if (!ioctl(tap->fd, TUNSETVNETHDRSZ, &size) &&
	    !ioctl(tap->fd, TUNSETVNETLE, &on))
		return 0;
	complain("%s: the kernel cannot pass checksums and segments: %s",
		 tap->name, strerror(errno));
	return -1;
}

/* Segments of UDP came later than the others. */
static void ask_features(struct tap_device *tap)
{
	unsigned int offloads = TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6;

	tap->accepts = IVNET_CSUM | IVNET_TSO4 | IVNET_TSO6 | IVNET_ECN;
	if (!ioctl(tap->fd, TUNSETOFFLOAD, offloads))
		tap->accepts |= IVNET_USO;
	tap->offloads = 0;
	ioctl(tap->fd, TUNSETOFFLOAD, tap->offloads);
}

static int read_address(const struct tap_device *tap,
			uint8_t address[FRAME_ADDRESS])
{
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	if (ioctl(tap->fd, SIOCGIFHWADDR, &request))
		return -errno;
	memcpy(address, request.ifr_hwaddr.sa_data, FRAME_ADDRESS);
	return 0;
}

static int set_address(struct tap_device *tap, const uint8_t *address)
{
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, address, FRAME_ADDRESS);
	if (!ioctl(tap->fd, SIOCSIFHWADDR, &request))
		return 0;
	complain("%s: setting its address: %s", tap->name, strerror(errno));
	return -1;
}

int tap_open(struct tap_device *tap, const char *name, const uint8_t *address)
{
	memset(tap, 0, sizeof(*tap));
	tap->carrier = -1;
	tap->fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0) {
		complain("%s: %s", TUN_PATH, tun_error(errno));
		return -1;
	}
	if (attach_interface(tap, name) || set_header(tap) ||
	    (address && set_address(tap, address)))
		goto err_close;
	ask_features(tap);
	if (tap_look(tap) < 0) {
		complain("%s: it has no address", tap->name);
		goto err_close;
	}
	return 0;

err_close:
	tap_close(tap);
	return -1;
}

void tap_close(struct tap_device *tap)
{
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
}

int tap_look(struct tap_device *tap)
{
	uint8_t address[FRAME_ADDRESS];

	if (read_address(tap, address))
		return -1;
	if (!memcmp(address, tap->address, sizeof(address)))
		return 0;
	memcpy(tap->address, address, sizeof(address));
	return 1;
}

unsigned int tap_mtu(const struct tap_device *tap)
{
	struct ifreq request;
	unsigned int mtu = 0;
	int fd;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	memset(&request, 0, sizeof(request));
	memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
	if (!ioctl(fd, SIOCGIFMTU, &request) && request.ifr_mtu > 0)
		mtu = (unsigned int)request.ifr_mtu;
	close(fd);
	return mtu;
}

void tap_offload(struct tap_device *tap, uint32_t features, uint32_t max_frame)
{
	unsigned int offloads = 0;

	features &= tap->accepts;
	if (features & IVNET_CSUM)
		offloads |= TUN_F_CSUM;
	if (max_frame >= FRAME_UNCUT) {
		if (features & IVNET_TSO4)
			offloads |= TUN_F_TSO4;
		if (features & IVNET_TSO6)
			offloads |= TUN_F_TSO6;
		if (features & IVNET_ECN)
			offloads |= TUN_F_TSO_ECN;
		if (features & IVNET_USO)
			offloads |= TUN_F_USO4 | TUN_F_USO6;
	}
	/* Nothing to carry it on. */
	if (!(offloads & (TUN_F_TSO4 | TUN_F_TSO6)))
		offloads &= ~(unsigned int)TUN_F_TSO_ECN;
	if (offloads == tap->offloads)
		return;
	if (!ioctl(tap->fd, TUNSETOFFLOAD, offloads))
		tap->offloads = offloads;
}

void tap_carrier(struct tap_device *tap, bool on)
{
	int carrier = on;

	if (tap->carrier == carrier)
		return;
	tap->carrier = carrier;
	/* Newer than some kernels, where it is always on. */
	ioctl(tap->fd, TUNSETCARRIER, &carrier);
}

int tap_read(struct tap_device *tap, struct tap_packet *packet)
{
	ssize_t n;

	n = read(tap->fd, packet, sizeof(*packet));
	if (n < 0)
		return -errno;
	if (n < (ssize_t)FRAME_HEADER || n > (ssize_t)(FRAME_HEADER + FRAME_MAX))
		return -EMSGSIZE;
	return (int)(n - (ssize_t)FRAME_HEADER);
}

int tap_write(struct tap_device *tap, const struct tap_packet *packet,
	      uint32_t length)
{
	return write(tap->fd, packet, FRAME_HEADER + length) < 0 ? -errno : 0;
}
