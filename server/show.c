/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Printing what others need to know: the options that attach a virtual
 * machine to a link, and the configuration as it was understood.
 */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* QEMU splits its options at commas; two of them stand for one. */
static void print_qemu_value(const char *text)
{
	for (; *text; text++) {
		putchar(*text);
		if (*text == ',')
			putchar(',');
	}
}

static bool needs_quotes(const char *text)
{
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789,._/=:@%+-")];
}

/* The same for a shell: quotes only where the path has odd characters. */
static void print_chardev(const struct link_config *link)
{
	bool quotes = needs_quotes(link->socket);
	const char *text = link->socket;

	printf("-chardev %ssocket,id=ivshmem-%s,path=", quotes ? "'" : "",
	       link->name);
	if (!quotes) {
		print_qemu_value(text);
		return;
	}
	for (; *text; text++) {
		char letter[2] = { *text, '\0' };

		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			print_qemu_value(letter);
	}
	putchar('\'');
}

void show_qemu(const struct link_config *link)
{
	print_chardev(link);
	printf(" -device ivshmem-doorbell,chardev=ivshmem-%s,vectors=%u\n",
	       link->name, link->vectors);
}

static void print_xml_value(const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", stdout);
			break;
		case '<':
			fputs("&lt;", stdout);
			break;
		case '\'':
			fputs("&apos;", stdout);
			break;
		default:
			putchar(*text);
		}
	}
}

/* No <size>: the memory is the server's. */
void show_libvirt(const struct link_config *link)
{
	printf("<shmem name='ivshmem-%s'>\n"
	       "  <model type='ivshmem-doorbell'/>\n"
	       "  <server path='", link->name);
	print_xml_value(link->socket);
	printf("'/>\n"
	       "  <msi vectors='%u' ioeventfd='on'/>\n"
	       "</shmem>\n", link->vectors);
}

const char *show_memory(const struct link_config *link, char buffer[256])
{
	char page[32] = "";

	switch (link->memory) {
	case MEMORY_MEMFD:
		return "memfd";
	case MEMORY_HUGETLB:
		if (!link->huge_page)
			return "hugetlb";
		snprintf(buffer, 256, "hugetlb:%s",
			 config_format_size(link->huge_page, page));
		return buffer;
	default:
		snprintf(buffer, 256, "file:%s", link->file);
		return buffer;
	}
}

void show_links(const struct config *config)
{
	char size[32], memory[256];

	for (size_t i = 0; i < config->link_count; i++) {
		const struct link_config *link = &config->links[i];

		printf("link %s: %s, size %s, peers %u, vectors %u, %s\n",
		       link->name, link->socket,
		       config_format_size(link->size, size), link->peers,
		       link->vectors, show_memory(link, memory));
	}
}

static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char letter = (unsigned char)*text;

		if (letter == '"' || letter == '\\')
			printf("\\%c", letter);
		else if (letter < ' ')
			printf("\\u%04x", letter);
		else
			putchar(letter);
	}
	putchar('"');
}

static void print_json_link(const struct link_config *link)
{
	char memory[256];

	printf("{\"name\": ");
	print_json_string(link->name);
	printf(", \"socket\": ");
	print_json_string(link->socket);
	printf(", \"size\": %" PRIu64 ", \"peers\": %u, \"vectors\": %u, "
	       "\"memory\": ", link->size, link->peers, link->vectors);
	print_json_string(show_memory(link, memory));
	printf(", \"mode\": \"%04o\"}", link->mode);
}

void show_json(const struct config *config)
{
	printf("{\"handshake_timeout\": %u, \"links\": [",
	       config->handshake_timeout);
	for (size_t i = 0; i < config->link_count; i++) {
		if (i)
			printf(",\n ");
		print_json_link(&config->links[i]);
	}
	printf("]}\n");
}
