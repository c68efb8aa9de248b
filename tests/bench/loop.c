// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executes twice as many instructions as its argument says, beside those that every
 * program does.
 */
#include <stdlib.h>

int main(int argc, char **argv)
{
	unsigned long n = argc == 2 ? strtoul(argv[1], NULL, 0) : 0;

	if (n)
		__asm__ volatile("1:	dec %0\n"
				 "	jnz 1b" : "+r"(n) : : "cc");
	return 0;
}
