/* What the files of an import share (import.c, import_row.c, import_match.c, import_person.c, import_accounts.c). */
#ifndef CHANGE_IMPORTING_H
#define CHANGE_IMPORTING_H

#include <rolebridge/change/import.h>

#include "foresee.h"
#include "internal.h"

struct import {
	struct changer *changer;
	const struct actor *actor;
	bool dry_run;
	struct live_setup *setup;
	struct store *reader;	   /* of a dry run */
	struct hash_table *claims; /* of a dry run: names that the file has taken so far */
	struct arena *texts;	   /* of the present rows */
	struct strbuf text;
	int64_t counts[IMPORT_STATUSES];
};

/* A row in the form the store has. */
struct prepared {
	struct import_row row;
	bool has_id;
	struct uuid id;
	struct grant *wanted;
	size_t wanted_count;
	struct account_row *accounts; /* application and id */
	size_t account_count;
};

/* What is at work on one row. */
struct importing {
	struct import *import;
	struct store *store;
	const struct prepared *prepared;
	struct apply_context *context; /* NULL: a dry run */
	struct arena *arena;
	int64_t now_s;
	const char *refused; /* the field that a refusal is about */
	struct import_result *result;
};
struct foresight importing_foresight(const struct importing *importing);

static inline int import_no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to import people");
}

/* --- import_row.c: before the transaction --- */
/* What is wrong with it by itself is in *result. -1: our own side failed. */
int import_prepare(struct import *import, const struct import_row *row, struct prepared *prepared,
		   struct import_result *result, struct arena *arena, struct err *err);
int import_normal(struct import *import,
		  int (*normalize)(const char *text, struct strbuf *out, struct err *err),
		  const char **text, struct err *err);
/* Of what says which grants. */
extern const char *const import_kind_fields[GRANT_KINDS];
/* A refusal into *result; -1 when it is none. */
int import_refused(struct import_result *result, const struct err *problem, const char *refused,
		   struct arena *arena, struct err *err);

/* --- import_match.c: whom a row is about --- */
/* 1 found, 0 nobody, -1. */
int import_find(const struct importing *importing, struct user *ret_user, struct err *err);
const char *import_organization(const struct importing *importing);
/* In a dry run: was somebody made before, in this file, whom this row is about? As import_find looks. */
bool import_made_before(const struct importing *importing);
/* Those by which a later row may be about somebody whom this one would make; names are claimed by then. */
int import_claim_keys(const struct importing *importing, struct err *err);
/* Asked first: a row that is refused leaves nothing. user_id 0: somebody new. */
int import_check_external(const struct importing *importing, const char *organization,
			  int64_t user_id, bool *ret_changes, struct err *err);

/* --- import_person.c: what it changes --- */
int import_create(struct importing *importing, struct err *err);
int import_update(struct importing *importing, const struct user *user, struct err *err);

/* --- import_accounts.c: to which accounts they belong --- */
struct import_ties {
	struct account_row *added, *removed;
	size_t added_count, removed_count;
};
static inline bool import_ties_any(const struct import_ties *ties)
{
	return ties->added_count + ties->removed_count > 0;
}
/* Asked first. user_id 0: somebody new. */
int import_check_accounts(struct importing *importing, const char *organization, int64_t user_id,
			  struct import_ties *ret_ties, struct err *err);
int import_write_accounts(struct importing *importing, const struct import_ties *ties,
			  int64_t user_id, const struct uuid *uuid, struct err *err);

#endif
