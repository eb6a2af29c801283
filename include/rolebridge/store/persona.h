/*
 * Personas as rows: what is known of each name, and its records. As store.h says of handles, errors and arenas.
 */
#ifndef ROLEBRIDGE_STORE_PERSONA_H
#define ROLEBRIDGE_STORE_PERSONA_H

#include <rolebridge/model/persona.h>
#include <rolebridge/store/store.h>

/* All, in order of names. */
int store_personas_load(struct store *store, struct arena *arena, struct persona_facts **ret_facts,
			size_t *ret_count, struct err *err);
/* 1; 0 and all zero but the name when nothing is known; -1. */
int store_persona_get(struct store *store, const char *name, struct arena *arena,
		      struct persona_facts *ret_facts, struct err *err);

/* There is one of this name from now on: noted_s is set, whatever else is known stays. *ret_id may be NULL. */
int store_persona_note(struct store *store, const char *name, int64_t noted_s, int64_t *ret_id,
		       struct err *err);
/* When the next review is due; 0: as the definition says. Of one that nothing is known of: nothing happens. */
int store_persona_due(struct store *store, const char *name, int64_t next_due_s, struct err *err);
/* Nothing is known of it any more. What its records take up is given back by store_persona_prune. */
int store_persona_forget(struct store *store, const char *name, struct err *err);
/* Records of those forgotten, at most so many; returns how many, -1. */
int store_persona_prune(struct store *store, size_t limit, struct err *err);

/* Are there any? */
int store_personas_gone(struct store *store, bool *ret_gone, struct err *err);

/* --- records --- */
/*
 * Sets record->id and counts it; a review also says when the next one is due. ERR_CONFLICT "name-taken": a link
 * of this address, an answer of this person is there; nothing was written.
 */
int store_persona_add(struct store *store, int64_t persona, struct persona_record *record,
		      struct err *err);
/* ERR_NOT_FOUND. record: as it was found. */
int store_persona_remove(struct store *store, int64_t persona, const struct persona_record *record,
			 struct err *err);
/* ERR_NOT_FOUND. */
int store_persona_find(struct store *store, int64_t persona, enum persona_record_type type,
		       int64_t id, struct arena *arena, struct persona_record *ret_record,
		       struct err *err);
/* What this user, or (user_id 0) this other one, has answered: 1, 0, -1. */
int store_persona_answer(struct store *store, int64_t persona, int64_t user_id, const char *title,
			 struct arena *arena, struct persona_record *ret_record, struct err *err);

struct persona_query {
	int64_t persona;
	enum persona_record_type type;
	int kind; /* 0: any */
	/* Answers of its people alone; NULL: all. */
	const char *organization;
	const char *owner; /* whose answers of no user are; NULL: 'default' */
	int64_t after_id;
	size_t limit; /* 1 to 1,000 */
};
/* In order of id. */
int store_persona_list(struct store *store, const struct persona_query *query, struct arena *arena,
		       struct persona_record **ret_records, size_t *ret_count, struct err *err);

#endif
