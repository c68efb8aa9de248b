/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Printing what others need to know: the options that attach a virtual
 * machine to a link, and the configuration as it was understood.
 */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "layout.h"

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
	bool quotes = needs_quotes(link->socket.path);
	const char *text = link->socket.path;

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
	print_xml_value(link->socket.path);
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

/* Returns false if the memory is not formatted; mistakes were found before. */
static bool plan(const struct link_config *link, struct ivregion *region)
{
	struct ivregion_superblock superblock;
	struct config_error error;

	return link->layout && !format_plan(link, &superblock, region, &error);
}

static void print_sections(const struct link_config *link)
{
	char offset[32], size[32], ring[32];
	struct ivregion region;

	if (!plan(link, &region))
		return;
	for (unsigned int i = 0; i < region.nr_sections; i++) {
		const struct ivregion_section *section = &region.sections[i];

		printf("  section %s: %s, offset %s, size %s, vector %u, "
		       "queues %u, ring size %s\n", section->name,
		       ivshmem_layout_type(section->type),
		       config_format_size(section->offset, offset),
		       config_format_size(section->size, size),
		       section->vector, section->queues,
		       config_format_size(section->ring_size, ring));
	}
}

void show_links(const struct config *config)
{
	char size[32], memory[256];

	for (size_t i = 0; i < config->link_count; i++) {
		const struct link_config *link = &config->links[i];

		printf("link %s: %s, size %s, peers %u, vectors %u, %s\n",
		       link->name, link->socket.path,
		       config_format_size(link->size, size), link->peers,
		       link->vectors, show_memory(link, memory));
		print_sections(link);
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

/* Types and names have no letters that JSON wants escaped. */
static void print_json_layout(const struct link_config *link)
{
	char layout[IVSHMEM_LAYOUT_TEXT];
	struct ivregion region;

	if (!plan(link, &region)) {
		printf("null");
		return;
	}
	ivshmem_layout_describe(&region, layout, sizeof(layout));
	printf("{\"description\": \"%s\", \"sections\": [", layout);
	for (unsigned int i = 0; i < region.nr_sections; i++) {
		const struct ivregion_section *section = &region.sections[i];

		printf("%s{\"name\": \"%s\", \"type\": \"%s\", \"offset\": %"
		       PRIu64 ", \"size\": %" PRIu64 ", \"vector\": %u, "
		       "\"queues\": %u, \"ring_size\": %u}", i ? ", " : "",
		       section->name, ivshmem_layout_type(section->type),
		       (uint64_t)section->offset, (uint64_t)section->size,
		       section->vector, section->queues, section->ring_size);
	}
	printf("]}");
}

static void print_json_link(const struct link_config *link)
{
	char memory[256];

	printf("{\"name\": ");
	print_json_string(link->name);
	printf(", \"socket\": ");
	print_json_string(link->socket.path);
	printf(", \"size\": %" PRIu64 ", \"peers\": %u, \"vectors\": %u, "
	       "\"memory\": ", link->size, link->peers, link->vectors);
	print_json_string(show_memory(link, memory));
	printf(", \"mode\": \"%04o\", \"layout\": ",
	       link->socket.mode);
	print_json_layout(link);
	putchar('}');
}

void show_json(const struct config *config)
{
	printf("{\"handshake_timeout\": %u, \"control\": ",
	       config->handshake_timeout);
	if (config->control.path)
		print_json_string(config->control.path);
	else
		printf("null");
	printf(", \"links\": [");
	for (size_t i = 0; i < config->link_count; i++) {
		if (i)
			printf(",\n ");
		print_json_link(&config->links[i]);
	}
	printf("]}\n");
}
