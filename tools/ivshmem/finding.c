// SPDX-License-Identifier: GPL-2.0-only
/*
 * Collects and prints what the doctor finds.
 */
#include <stdarg.h>
#include <stdio.h>

#include "clean.h"
#include "finding.h"
#include "output.h"

static const struct {
	const char *shown;
	const char *name;
} verdicts[] = {
	[VERDICT_OK] = { "OK  ", "ok" },
	[VERDICT_WARN] = { "WARN", "warn" },
	[VERDICT_FAIL] = { "FAIL", "fail" },
};

static void add_to_list(struct findings *findings, enum verdict verdict,
			const char *check, const char *subject,
			const char *remedy, const char *text)
{
	struct json_object *object = json_object_new_object();

	add_string(object, "check", check);
	add_string(object, "subject", subject);
	add_string(object, "verdict", verdicts[verdict].name);
	add_string(object, "text", text);
	if (remedy)
		add_string(object, "remedy", remedy);
	else
		add_null(object, "remedy");
	json_object_array_add(findings->list, object);
}

/* A remedy may have lines, of which those with commands begin with a tab. */
static void clean_lines(char *to, size_t size, const char *from)
{
	size_t i;

	clean_text(to, size, from);
	for (i = 0; to[i]; i++)
		if (from[i] == '\n' || from[i] == '\t')
			to[i] = from[i];
}

void found(struct findings *findings, enum verdict verdict, const char *check,
	   const char *subject, const char *remedy, const char *format, ...)
{
	char text[1024];
	char clean_subject[256], clean_remedy[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* Command lines and names are whatever others have made them. */
	clean_text(text, sizeof(text), text);
	clean_text(clean_subject, sizeof(clean_subject), subject);
	subject = clean_subject;
	if (remedy) {
		clean_lines(clean_remedy, sizeof(clean_remedy), remedy);
		remedy = clean_remedy;
	}
	findings->count++;
	findings->warnings += verdict == VERDICT_WARN;
	findings->failures += verdict == VERDICT_FAIL;
	if (findings->list) {
		add_to_list(findings, verdict, check, subject, remedy, text);
		return;
	}
	printf("%s  %-11s %s: %s\n", verdicts[verdict].shown, check, subject,
	       text);
	if (remedy)
		printf("      %-11s remedy: %s\n", "", remedy);
	fflush(stdout);
}
