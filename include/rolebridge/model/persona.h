/* What is known of a persona beside its definition, and what follows from it. Pure. */
#ifndef ROLEBRIDGE_MODEL_PERSONA_H
#define ROLEBRIDGE_MODEL_PERSONA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below these a primary persona rests on too little, and nobody has recognised themselves often enough. */
#define PERSONA_INTERVIEWS_NEEDED 12
#define PERSONA_YES_NEEDED 5

/* Stored: never renumber these. */
enum persona_record_type {
	PERSONA_RESEARCH = 1,
	PERSONA_VALIDATION = 2,
	PERSONA_REVIEW = 3,
	PERSONA_LINK = 4,
};
#define PERSONA_RECORD_TYPES 5

/* Kinds of research, answers of validations, kinds of links: "interview", "yes", "story"; "" of others. */
const char *persona_kind_name(enum persona_record_type type, int kind);
/* 0: there is none of this name. */
int persona_kind_find(enum persona_record_type type, const char *name);
/* Those there are: 1 to this. */
int persona_kind_count(enum persona_record_type type);

struct persona_record {
	int64_t id; /* 0: not stored yet */
	enum persona_record_type type;
	int kind;	   /* 0 of a review */
	int64_t at_s;	   /* of research: the day it was */
	int64_t number;	   /* of research: how many; of a review: when the next one is due */
	int64_t user_id;   /* who answered; 0: no user */
	const char *title; /* of a link; of a validation: who answered and is no user */
	const char *text;  /* note, comment */
	const char *url;
	const char *actor; /* who noted it */
};

enum persona_count {
	PERSONA_ENTRIES, /* of research, and what they count: */
	PERSONA_INTERVIEWS,
	PERSONA_TICKETS,
	PERSONA_USAGE,
	PERSONA_CRM,
	PERSONA_YES,
	PERSONA_PARTLY,
	PERSONA_NO,
	PERSONA_REVIEWS,
	PERSONA_LINKS,
	PERSONA_COUNTS,
};

struct persona_facts {
	int64_t id; /* 0: nothing is known */
	const char *name;
	int64_t noted_s;    /* since when there is one of this name */
	int64_t reviewed_s; /* 0: never */
	const char *reviewed_by;
	int64_t next_due_s; /* as the last review says; 0: it does not */
	int64_t counts[PERSONA_COUNTS];
};

/* The day a year on, its first second. */
int64_t persona_year_after(int64_t time_s);
/*
 * The day by which it is to be reviewed. declared_s: what the definition says, 0: nothing. The later of that and
 * of what the last review says; without either a year after that review, or after its first sight. 0: nothing
 * is known.
 */
int64_t persona_review_due(int64_t declared_s, const struct persona_facts *facts);
/* The day is over. */
bool persona_is_overdue(int64_t due_s, int64_t now_s);
/* A primary one that rests on too few interviews. */
bool persona_lacks_research(bool primary, const struct persona_facts *facts);
bool persona_is_validated(const struct persona_facts *facts);

/* Of a list in order of names; NULL: nothing is known of it. */
const struct persona_facts *persona_facts_find(const struct persona_facts *facts, size_t count,
					       const char *name);

#endif
