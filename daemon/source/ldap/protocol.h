/*
 * What the core and the ldap worker say to each other (frames of base/message.h).
 *
 *	core → worker	JOB, once, with the connected socket
 *	worker → core	PHASE, PROGRESS, QUARANTINE, IDENTITY in any number, then
 *			GROUP, each wanted group at most once, then END, once
 *
 * A job that follows goes on after an END that says complete:
 *
 *	worker → core	MODE once, before the END; after it any number of batches
 *			(BEGIN, then IDENTITY, GROUPS, GONE, QUARANTINE, GROUP in any number and
 *			order, then COMMIT) and PULSE between them; LOST when the
 *			connection is gone, also within a batch, of which then nothing counts;
 *			RESTART when only a new full read helps: the worker then ends
 *	core → worker	RESUME, once after each LOST, with a new connected socket; FETCH at any time
 *
 * A job that tests says STEP for each of its steps, in their order and each at most once; then a few
 * people as IDENTITY or QUARANTINE, no GROUP, and END, which says complete when every step went well.
 *
 * A job that signs somebody in finds the one entry of its filter and binds as it:
 *
 *	core → worker	LOGIN, once
 *	worker → core	VERDICT, once, before an END that says complete; nothing else but PHASE
 *
 * The worker has met hostile bytes: the core takes nothing from it that is not
 * exactly of this form, and nothing after END or RESTART. Texts are UTF-8 without NUL.
 */
#ifndef SOURCE_LDAP_PROTOCOL_H
#define SOURCE_LDAP_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/message.h>
#include <rolebridge/identity/dn.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/source.h>

enum protocol_type {
	PROTOCOL_JOB = 1,
	PROTOCOL_RESUME, /* struct protocol_resume */
	PROTOCOL_FETCH,	 /* text key: tell this person again, as a batch; unknown: an empty batch */
	PROTOCOL_LOGIN,	 /* bytes password */
	PROTOCOL_PHASE = 16, /* u8 enum protocol_phase */
	PROTOCOL_PROGRESS,   /* u64 entries read so far */
	PROTOCOL_QUARANTINE, /* text locator, key, reason, detail */
	PROTOCOL_IDENTITY,   /* the record, to the end of the frame */
	PROTOCOL_GROUP,	     /* u32 id, u8 found, u64 members */
	PROTOCOL_END,	     /* struct protocol_end */
	PROTOCOL_MODE,	     /* struct protocol_mode */
	PROTOCOL_BEGIN,	     /* empty */
	PROTOCOL_GROUPS, /* struct protocol_groups: somebody's groups, whose own entry is as it was */
	PROTOCOL_GONE,	 /* text key: deleted, or not found by the search any more */
	PROTOCOL_COMMIT,  /* u64 changes: IDENTITY, GROUPS and GONE of this batch */
	PROTOCOL_PULSE,	  /* empty: the directory has just answered */
	PROTOCOL_LOST,	  /* text reason, text detail */
	PROTOCOL_RESTART, /* text reason, text detail */
	PROTOCOL_STEP,	  /* struct protocol_step */
	PROTOCOL_VERDICT, /* u8: was the password that of the one entry? */
};

/* What a job is for, beside reading. */
enum job_test {
	TEST_NONE,
	TEST_CERTIFICATE, /* look at the server's certificate, whatever it is worth, and say nothing else to it */
	TEST_SIGN_IN,
	TEST_READ,  /* and count, and read a few people */
	TEST_LOGIN, /* is a password that of the one entry which the users' filter finds? */
};

/* How changes come. In a job: what is asked for; from the worker: what it does. */
enum follow_mode {
	FOLLOW_OFF,
	FOLLOW_AUTO,	  /* only in a job */
	FOLLOW_SYNC,	  /* RFC 4533 refreshAndPersist */
	FOLLOW_USN,	  /* Active Directory, by uSNChanged */
	FOLLOW_TIMESTAMP, /* by modifyTimestamp */
};

enum protocol_phase {
	PHASE_SETUP, /* reading files, before the lock */
	PHASE_TLS,
	PHASE_BIND,
	PHASE_GROUPS,
	PHASE_USERS,
	PHASE_LOGIN, /* told before a bind as somebody is sent: from here on the server may count it */
	PHASE_COUNT,
};

#define PROTOCOL_JOB_MAX (64u * 1024 * 1024)
#define PROTOCOL_FRAME_MAX (RECORD_MAX + 1024) /* worker to core */
#define PROTOCOL_ATTRIBUTES_MAX 4096
#define PROTOCOL_GROUPS_MAX (1u << 20)
#define PROTOCOL_LIST_MAX 1024
#define PROTOCOL_KEY_MAX 1024
#define PROTOCOL_REASON_MAX 63
#define PROTOCOL_PASSWORD_MAX 1024
/* Of locators and details in quarantine and END; what is longer is cut by the sender. */
#define PROTOCOL_TEXT_MAX 2048

enum job_transport { TRANSPORT_CLEAR, TRANSPORT_STARTTLS, TRANSPORT_LDAPS, TRANSPORT_LOCAL };

struct job_search {
	const char *base, *filter;
	uint8_t scope; /* enum ldap_source_scope */
};

struct job_texts {
	size_t count;
	const char **items;
};

/* One read of one server. Plain data; "" where something is not configured. */
struct job {
	int64_t now_s;
	uint8_t transport; /* enum job_transport */
	const char *url;   /* its host is what the certificate must name */
	const char *ca;
	uint8_t bind_method; /* enum ldap_source_bind */
	const char *bind_dn, *password_file, *certificate, *private_key;
	const char *keytab, *kerberos_config; /* GSSAPI; the latter "": the system's */
	struct job_search users, groups;
	const char *key;
	struct job_texts members, disabled, canaries;
	uint32_t page_size, answer_ms;
	bool ignore_referrals;
	uint8_t test;	       /* enum job_test; such a job does not follow */
	uint32_t samples;      /* so many people, when it reads */
	uint8_t follow;	       /* enum follow_mode */
	uint32_t poll_ms;      /* between two looks, where the server does not tell by itself */
	uint32_t keepalive_ms; /* an idle connection is tried after this long */
	const struct wanted_attribute *attributes; /* ascending by name */
	size_t attribute_count;
	const struct wanted_group *wanted; /* groups */
	size_t wanted_count;
};

void job_encode(const struct job *job, struct strbuf *out);
/* Strict to the last byte; texts and arrays come from the arena. */
int job_decode(struct reader *in, struct arena *arena, struct job *ret_job, struct err *err);

struct protocol_end {
	bool complete;
	const char *reason; /* "" when complete */
	const char *detail;
	uint64_t entries, groups, quarantined;
};

struct protocol_mode {
	uint8_t mode;	      /* enum follow_mode, neither OFF nor AUTO */
	const char *vendor;   /* "openldap", "389ds", "active-directory", "other" */
	const char *identity; /* of the server: a cursor is good for one only */
};

/* Steps of a test that are the worker's. */
enum protocol_step_kind {
	STEP_TLS,
	STEP_BIND,
	STEP_ROOT,
	STEP_PEOPLE,
	STEP_GROUPS,
	STEP_LIMITS,
	STEP_SAMPLE
};
#define STEP_KINDS (STEP_SAMPLE + 1)
extern const char *const protocol_step_names[STEP_KINDS];

/* What a step found out. */
enum protocol_fact_kind {
	FACT_PROTOCOL, /* "TLS1.3" */
	FACT_SUBJECT,
	FACT_ISSUER,
	FACT_NOT_BEFORE,
	FACT_EXPIRES,
	FACT_BOUND_AS, /* whom the server takes us for */
	FACT_VENDOR,
	FACT_VERSION,
	FACT_PAGED_RESULTS,
	FACT_SYNC,
	FACT_FOLLOW, /* how it would be followed, unless the configuration says */
	FACT_COUNT,
	FACT_AT_LEAST, /* counting ended before the end */
};
#define FACT_KINDS (FACT_AT_LEAST + 1)
struct protocol_fact {
	enum protocol_fact_kind kind;
	const char *text; /* of texts */
	int64_t number;	  /* of the others */
};
/* As an interface calls it, and what it is. */
extern const struct source_test_form protocol_fact_forms[FACT_KINDS];

struct protocol_step {
	enum protocol_step_kind kind;
	bool ok;
	const char *reason; /* "" when ok */
	const char *detail;
	uint64_t duration_us;
	struct protocol_fact facts[FACT_KINDS]; /* ascending by kind */
	size_t fact_count;
};

/* The same worker on a new connection. */
struct protocol_resume {
	uint8_t transport; /* enum job_transport */
	const char *url;
};

struct protocol_groups {
	const char *key;
	size_t key_size;
	bool complete;
	const uint32_t *ids; /* ascending, each once */
	size_t count;
};

struct protocol_group {
	uint32_t id;
	bool found;
	uint64_t members;
};

void phase_encode(enum protocol_phase phase, struct strbuf *out);
void progress_encode(uint64_t entries, struct strbuf *out);
void quarantine_encode(const struct quarantined *entry, struct strbuf *out);
void group_encode(const struct protocol_group *group, struct strbuf *out);
void end_encode(const struct protocol_end *end, struct strbuf *out);
void mode_encode(const struct protocol_mode *mode, struct strbuf *out);
void groups_encode(const struct protocol_groups *groups, struct strbuf *out);
void key_encode(enum protocol_type type /* GONE, FETCH */, const char *key, size_t size,
		struct strbuf *out);
void commit_encode(uint64_t changes, struct strbuf *out);
void empty_encode(enum protocol_type type /* BEGIN, PULSE */, struct strbuf *out);
void trouble_encode(enum protocol_type type /* LOST, RESTART */, const char *reason,
		    const char *detail, struct strbuf *out);
void step_encode(const struct protocol_step *step, struct strbuf *out);
void resume_encode(const struct protocol_resume *resume, struct strbuf *out);
void login_encode(const void *password, size_t size, struct strbuf *out);
void verdict_encode(bool right, struct strbuf *out);

/* -1 with ERR_PROTOCOL on anything that is not exactly right. */
int phase_decode(struct reader *in, enum protocol_phase *ret_phase, struct err *err);
int progress_decode(struct reader *in, uint64_t *ret_entries, struct err *err);
int quarantine_decode(struct reader *in, struct arena *arena, struct quarantined *ret_entry,
		      struct err *err);
int group_decode(struct reader *in, struct protocol_group *ret_group, struct err *err);
int end_decode(struct reader *in, struct arena *arena, struct protocol_end *ret_end,
	       struct err *err);
int mode_decode(struct reader *in, struct arena *arena, struct protocol_mode *ret_mode,
		struct err *err);
int groups_decode(struct reader *in, struct arena *arena, struct protocol_groups *ret_groups,
		  struct err *err);
int key_decode(struct reader *in, const char **ret_key, size_t *ret_size, struct err *err);
int commit_decode(struct reader *in, uint64_t *ret_changes, struct err *err);
int trouble_decode(struct reader *in, struct arena *arena, const char **ret_reason,
		   const char **ret_detail, struct err *err);
int step_decode(struct reader *in, struct arena *arena, struct protocol_step *ret_step,
		struct err *err);
int empty_decode(const struct reader *in, struct err *err); /* BEGIN, PULSE */
/* Borrowed; 1 to PROTOCOL_PASSWORD_MAX bytes without NUL. */
int login_decode(struct reader *in, const void **ret_password, size_t *ret_size, struct err *err);
int verdict_decode(struct reader *in, bool *ret_right, struct err *err);
int resume_decode(struct reader *in, struct arena *arena, struct protocol_resume *ret_resume,
		  struct err *err);

#endif
