/*
 * The JSON API under /api/v1. It reads through its own read-only store
 * handles and writes only through change/; what reaches beyond (sources, the
 * configuration files) it asks of main through struct ports.
 */
#ifndef ROLEBRIDGE_API_API_H
#define ROLEBRIDGE_API_API_H

#include <stdbool.h>

#include <rolebridge/api/runs.h>
#include <rolebridge/api/web.h>
#include <rolebridge/base/json.h>
#include <rolebridge/change/changer.h>
#include <rolebridge/config/document.h>
#include <rolebridge/http/router.h>

/* What POST /sync and POST /plan ask for. Texts live until the run ends. */
struct sync_request {
	const char *source; /* NULL: every enabled source */
	const char *user;   /* NULL: everybody; else this person alone: uuid, username or e-mail */
	bool full;	    /* forget what makes a read incremental */
	bool dry_run;
	/* A preview of other rules: dry_run with these files instead of the configuration in force. */
	const struct document_file *files;
	size_t file_count; /* 0: the configuration in force */
	const char *rule;  /* with dry_run: as if the draft of this rule were in force; NULL */
};

/* What POST /sources/{source}/test asks for: a source as the configuration in force declares it. */
struct test_request {
	const char *source;
	uint32_t samples;    /* people to show */
	bool show_sensitive; /* values of sensitive attributes, too */
};

/* One change of what administrators define. */
enum definition_verb {
	DEFINITION_CREATE,
	DEFINITION_REPLACE,
	DEFINITION_DELETE,
	DEFINITION_DRAFT,    /* a rule beside the one in force, if any */
	DEFINITION_DISCARD,  /* the draft of a rule */
	DEFINITION_ACTIVATE, /* the draft takes the place of what is in force */
	DEFINITION_PLACE,    /* a rule's place among those of the store: `position` */
};
struct definition_change {
	enum definition_verb verb;
	const char *kind, *name;
	const char *body; /* one line of JSON, name included; of CREATE, REPLACE, DRAFT */
	int64_t version; /* that the caller saw; 0: whichever; of DRAFT also DRAFT_NEW: there is none yet */
	bool must_exist;    /* of DRAFT: the rule, or a draft of it, is there */
	int64_t position;   /* of PLACE */
	const char *action; /* a word of its own for the audit log: "enable"; NULL: the verb's */
	/* A document that the body names, by fingerprint; its text where it is to be kept, NULL: it is there. */
	const char *fingerprint, *document;
	/* Of something new: whose it shall be, "*" everybody's; NULL: the actor's organization's, on the socket "default". It stays so. */
	const char *organization;
};
#define DEFINITION_SHARED "*"
#define DRAFT_NEW (-1)
/* All or nothing. */
struct define_request {
	const struct definition_change *changes;
	size_t count;
	bool dry_run;
	const char *plan;    /* of the preview, which must come out again; NULL */
	struct arena *arena; /* for texts of the outcome */
};
struct define_result {
	int64_t people;	  /* whom it concerns */
	const char *plan; /* NULL: nobody's grants depend on it */
	/* Warnings about what was changed: JSON objects with commas between. */
	struct strbuf *warnings;
	/* With an error: which definition it is about, and which field of it; NULL. */
	const char *about, *field;
	bool evaluated; /* report is filled; run_report_finish it in any case */
	struct run_report report;
};

/* What POST /targets/{target}/plan and …/reconcile ask for. */
struct target_request {
	const char *target;
	bool carry_out;
	const char *plan; /* the id that somebody saw and means; NULL */
};

/* Metadata of an IdP as an administrator hands it over. */
struct metadata_question {
	const char *xml;
	size_t size;
	const char *entity_id; /* NULL: the only IdP of it */
	const char *signer;    /* certificate, PEM; NULL: it need not be signed */
};
struct metadata_answer {
	const char *fingerprint; /* "sha256:…" */
	const char *entity_id;
};

/*
 * Filled by main. All functions may be called from any thread; sync and reload block until they
 * are done and run inside a run's thread.
 */
struct ports {
	void *context;
	/*
	 * Read the source(s), run them through change/; for each source call run_add_report, now
	 * and then run_progress, and stop early when run_cancelled. ERR_NOT_FOUND for a source that
	 * does not exist, ERR_CONFLICT "sync-running" when it is being read. A preview that does not
	 * load: run_set_diagnostics, then ERR_INVALID "invalid-config".
	 */
	int (*sync)(void *context, struct run *run, const struct sync_request *request,
		    const struct actor *actor, struct err *err);
	/*
	 * Try a source that is read, and append what came of it to result, as a JSON object with "ok". 0 also when
	 * something about it is not in order. Nothing is kept.
	 */
	int (*test)(void *context, struct run *run, const struct test_request *request,
		    struct strbuf *result, struct err *err);
	/* Read the configuration again and put it in force; errors as in sync's preview. */
	int (*reload)(void *context, struct run *run, const struct actor *actor, struct err *err);
	/*
	 * Check a configuration (diagnostics, rule tests, lint) without using it: appends
	 * diagnostics_json's array to findings. 0 when it would load, also with warnings.
	 */
	int (*check)(void *context, const struct document_file *files, size_t count,
		     struct strbuf *findings, struct err *err);
	/* Members of the status object: "version", "started", "config", "workers" … */
	void (*status)(void *context, struct json *json);
	/* Members of one source's status object: "running", "next", … */
	void (*source_status)(void *context, const char *source, struct json *json);
	/*
	 * Change definitions of the store: the configuration with them must load, and is put in force. ERR_CONFLICT
	 * "managed-by-config", "name-taken", "in-use", "stale-version" …; ERR_INVALID with the code of the finding,
	 * and field, when it does not load.
	 */
	int (*define)(void *context, const struct define_request *request,
		      const struct actor *actor, struct define_result *ret_result, struct err *err);
	/*
	 * Is the document good? It is read in a worker. ERR_INVALID with the reasons of saml_metadata_read, or
	 * "metadata-empty".
	 */
	int (*metadata)(void *context, const struct metadata_question *question,
			struct arena *arena, struct metadata_answer *ret_answer, struct err *err);
	/*
	 * How a target does, as members of an object; name NULL: of all, as objects of an array. *ret_found: there is such
	 * a one, configured or with rows in the queue.
	 */
	int (*targets)(void *context, struct store *store, const char *name, bool *ret_found,
		       struct json *json, struct err *err);
	/* Compare, and queue what repairs it; appends a JSON object. Errors as targets_reconcile (target/target.h). */
	int (*compare_target)(void *context, struct run *run, const struct target_request *request,
			      const struct actor *actor, struct strbuf *result, struct err *err);
	/* Append the path of configuration file number n of the setup in force; false: unknown. */
	bool (*config_path)(void *context, unsigned file, struct strbuf *out);
	/*
	 * Serve the pages of administrators on loopback, whatever the web side is like, until then at least.
	 * address: NULL: any. Appends "http://127.0.0.1:PORT". ERR_INVALID "not-loopback", ERR_CONFLICT: the port is taken.
	 */
	int (*door)(void *context, const char *address, int64_t until_s, struct strbuf *url,
		    struct err *err);
	/* Is there any listener of the web side? */
	bool (*is_served)(void *context);
};

struct bearers;
struct decisions;

struct api_settings {
	struct changer *changer;
	struct runs *runs;
	struct ports ports;
	const char *admin_group; /* "rolebridge-admin" */
	struct web *web;	 /* for sessions and SAML sources */
	struct bearers *bearers;
	struct decisions *decisions;
};

struct api;

/* Borrows changer and runs; copies the rest but not what ports.context points at. */
struct api *api_create(const struct api_settings *settings, struct err *err);
void api_destroy(struct api *api);

/* Add the API's routes for the control socket (peer credentials decide) to a router. */
int api_add_control_routes(struct api *api, struct http_router *router, struct err *err);
/* The same routes for web listeners: for tokens, and for sessions of the daemon's own pages. */
int api_add_web_routes(struct api *api, struct http_router *router, struct err *err);

/* The table, for tests and the OpenAPI document. */
const struct http_route *api_routes(size_t *ret_count);

#endif
