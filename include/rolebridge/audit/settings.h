/* The table audit: of the configuration: how long rows are kept, and where they go then. */
#ifndef ROLEBRIDGE_AUDIT_SETTINGS_H
#define ROLEBRIDGE_AUDIT_SETTINGS_H

#include <rolebridge/config/options.h>

struct audit_settings {
	struct position at;
	int64_t retention_s;	/* 0: for ever */
	struct located archive; /* folder; NULL: none */
};
extern const struct option_table audit_table;

#endif
