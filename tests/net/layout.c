// SPDX-License-Identifier: GPL-2.0-only
/* Prints where the headers have everything of the first section of a superblock */
#include <stdio.h>
#include <ivshmem/link.h>
int main(void)
{
	static struct ivregion_superblock copy;
	struct ivregion_section *s;
	struct ivregion r;
	unsigned int a, b, q;

	if (fread(&copy, sizeof(copy), 1, stdin) != 1 ||
	    ivregion_parse(&copy, 16 << 20, &r))
		return 1;
	s = &r.sections[0];
	for (a = 0; a < r.slots; a++) {
		for (b = 0; b < r.slots; b++) {
			for (q = 0; a != b && q < s->queues; q++)
				printf("%u %u %u %llu %llu %llu %llu\n",
				       a, b, q, ivregion_link_offset(&r, s, a, b),
				       ivregion_tx_offset(&r, s, a, b, q),
				       ivregion_rx_offset(&r, s, a, b, q),
				       ivregion_data_offset(&r, s, a, b, q));
		}
	}
	return 0;
}
