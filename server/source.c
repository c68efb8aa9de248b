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

static int load_files(const struct config_source *source,
		      struct config *config, struct config_error *error)
{
	if (source->file)
		return config_parse_file(config, source->file, error);
	if (!source->link_count)
		return config_parse_default(config, error);
	return 0;
}

static int load_options(const struct config_source *source,
			struct config *config, struct config_error *error)
{
	if (!source->handshake_timeout)
		return 0;
	/* Not twice, but instead of what the file says. */
	config->handshake_timeout_set = false;
	return config_set_server(config, "handshake-timeout",
				 source->handshake_timeout, error);
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
