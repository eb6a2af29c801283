/* A configuration with every type of option, for the tests beside. */
#ifndef TESTS_SAMPLE_H
#define TESTS_SAMPLE_H

#include <rolebridge/config/options.h>

struct sample_attribute {
	struct position at;
	struct located name, from;
	int syntax;
	bool sensitive;
};

struct sample_source {
	struct position at;
	struct located name, type;
	int64_t interval_s;
	struct struct_list attributes; /* struct sample_attribute */
};

struct sample_ldap {
	struct sample_source base;
	struct located_list servers;
	int64_t page_size;
};

struct sample_csv {
	struct sample_source base;
	struct located path;
};

struct sample_grant {
	struct position at;
	struct located profile;
	struct located_list roles;
};

struct sample_rule {
	struct position at;
	struct located id, when;
	struct sample_grant grant;
	int64_t expires_s;
	bool trial;
};

struct sample_limits {
	struct position at;
	int64_t removals; /* percent */
	int64_t body;	  /* bytes */
	struct located_list admins;
};

struct sample {
	struct position at;
	struct located title;
	struct located state;
	int64_t port;
	int level;
	struct located_list domains;
	struct sample_limits limits;
	struct struct_list sources; /* pointers */
	struct struct_list rules;
	struct pair_list precedence;
};

extern const struct option_table sample_table;

/* Parse texts given as path, text, path, text, NULL; findings as diagnostics_print shows them. */
struct loaded {
	struct document *document;
	struct diagnostics *list;
	struct arena *arena;
	struct sample sample;
	char *findings;
};

void sample_load(struct loaded *ret_loaded, ...);
void sample_load_text(struct loaded *ret_loaded, const char *text);
void sample_load_bytes(struct loaded *ret_loaded, const char *text, size_t size);
void sample_load_path(struct loaded *ret_loaded, const char *path);
void sample_free(struct loaded *loaded);

#endif
