/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the configuration comes from: files and command line, which can be read
 * again at any time.
 */
#include "source.h"

#include <stdio.h>

static int load_links(const struct config_source *source,
		      struct config *config, struct config_error *error)
{
	for (size_t i = 0; i < source->link_count; i++) {
		if (config_parse_link_option(config, source->links[i], error))
			return -1;
	}
	return 0;
}

/*
 * Only the server of the default file has a control socket without being asked:
 * there is one place for it, and others may run beside.
 */
static int load_files(const struct config_source *source,
		      struct config *config, struct config_error *error)
{
	if (source->file)
		return config_parse_file(config, source->file, error);
	if (source->link_count)
		return 0;
	if (config_use_control(config, error))
		return -1;
	return config_parse_default(config, error);
}

static int load_option(struct config *config, const char *key,
		       const char *value, struct config_error *error)
{
	if (!value)
		return 0;
	/* Not twice, but instead of what a file says. */
	config->seen = 0;
	return config_set_server(config, key, value, error);
}

static int load_options(const struct config_source *source,
			struct config *config, struct config_error *error)
{
	if (load_option(config, "handshake-timeout",
			source->handshake_timeout, error))
		return -1;
	return load_option(config, "control", source->control, error);
}

static int load_all(const struct config_source *source, struct config *config,
		    struct config_error *error)
{
	const char *file = source->file;

	if (load_links(source, config, error) ||
	    load_files(source, config, error) ||
	    load_options(source, config, error))
		return -1;
	if (!config->link_count)
		return config_fail(error, "%.256s: defines no link; add a "
				   "section [link NAME]",
				   file ? file : CONFIG_DEFAULT_FILE);
	return config_check(config, error);
}

int config_load(const struct config_source *source, struct config *config,
		struct config_error *error)
{
	config_init(config);
	if (!load_all(source, config, error))
		return 0;
	config_free(config);
	return -1;
}
