/*
 * What applications told about their things: resources in trees, and references (who is responsible
 * for what). Writes happen inside a transaction; what they mean is change/'s to say. Texts live in
 * the given arena.
 */
#ifndef ROLEBRIDGE_STORE_OWNERSHIP_H
#define ROLEBRIDGE_STORE_OWNERSHIP_H

#include <rolebridge/model/resource.h>
#include <rolebridge/store/store.h>

/* --- resources --- */
/* ERR_NOT_FOUND. */
int store_resource_find(struct store *store, const struct resource_key *key, struct arena *arena,
			struct resource *ret_resource, struct err *err);
int store_resource_get(struct store *store, int64_t row, struct arena *arena,
		       struct resource *ret_resource, struct err *err);
/* Inserts when row is 0, and sets it; else writes parent, owner, organization, title, version, updated_s. */
int store_resource_put(struct store *store, struct resource *resource, struct err *err);
/* It must have no children. */
int store_resource_remove(struct store *store, int64_t row, struct err *err);
/* 1 it has children, 0, -1. */
int store_resource_has_children(struct store *store, int64_t row, struct err *err);
/*
 * Levels below it, itself not counted, up to max; the tree is sound, so there is an end. It and at most limit - 1 below it are
 * looked at: *ret_count, and when that is limit there may be more of both. limit -1: all.
 */
int store_resource_height(struct store *store, int64_t row, int64_t max, int64_t limit,
			  int64_t *ret_height, int64_t *ret_count, struct err *err);
/* Rows of it and all below, parents before children, at most limit and one. */
int store_resource_subtree(struct store *store, int64_t row, size_t limit, struct arena *arena,
			   int64_t **ret_rows, size_t *ret_count, struct err *err);

struct resource_query {
	const char *application, *type; /* NULL: any */
	const char *organization;	/* NULL: any */
	int64_t parent;			/* row; 0: any */
	int64_t owner;			/* user; 0: any */
	bool unassigned;		/* only what nobody has */
	int64_t after;			/* row */
	size_t limit;			/* 1 to 10,000 */
};
/* In order of row. */
int store_resource_list(struct store *store, const struct resource_query *query,
			struct arena *arena, struct resource **ret_resources, size_t *ret_count,
			struct err *err);
/* All of them, parents' rows may come later; texts live until the next. -1 from each: ERR_CANCELLED. */
int store_resource_each(struct store *store,
			int (*each)(void *context, const struct resource *resource), void *context,
			struct err *err);
int store_resource_count(struct store *store, int64_t *ret_count, struct err *err);

/* --- references --- */
int store_reference_find(struct store *store, const struct reference *key, struct arena *arena,
			 struct reference *ret_reference, struct err *err);
int store_reference_put(struct store *store, struct reference *reference, struct err *err);
int store_reference_remove(struct store *store, int64_t row, struct err *err);

struct reference_query {
	const char *application,
		*kind; /* NULL: any; kind "owner": what users have as owners of resources */
	const char *organization; /* of the user; NULL: any */
	int64_t user;		  /* 0: any */
	bool orphaned;		  /* only of users who are not active */
	int64_t after;		  /* cursor of the one before */
	size_t limit;		  /* 1 to 10,000 */
};
/* Both kinds of responsibility: what was registered, then ownership of resources, each in order of row. */
int store_reference_list(struct store *store, const struct reference_query *query,
			 struct arena *arena, struct reference **ret_references, size_t *ret_count,
			 struct err *err);
/* How much the user is responsible for; application NULL: any. */
int store_reference_count(struct store *store, int64_t user_id, const char *application,
			  int64_t *ret_count, struct err *err);
/* Anything at all: 1, 0, -1. */
int store_reference_any(struct store *store, int64_t user_id, struct err *err);

/* --- who left something behind --- */
/* 1 when it was not so before, 0, -1. */
int store_orphaning_set(struct store *store, int64_t user_id, int64_t since_s, struct err *err);
int store_orphaning_clear(struct store *store, int64_t user_id, struct err *err);
/* Anybody: 1, 0, -1. */
int store_orphaning_any(struct store *store, struct err *err);
struct orphaning_counts {
	int64_t users, references; /* references: with resources they have */
};
int store_orphaning_counts(struct store *store, struct orphaning_counts *ret_counts,
			   struct err *err);

#endif
