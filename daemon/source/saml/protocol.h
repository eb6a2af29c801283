/*
 * What the core and a saml worker say to each other (frames of base/message.h).
 *
 *	core → worker	SETUP, once; then one job after the other
 *	worker → core	READY or FAILED; then one answer to each job
 *
 * or, for metadata, in a worker without key: READ_METADATA, answered by IDP or FAILED.
 *
 * The worker meets hostile bytes: the core takes nothing from it that is not exactly of this form
 * and the answer to what was asked. Each record has one function for both directions, so that they
 * cannot drift apart: with `out` set it writes *value, else it fills it from `in`. Texts are UTF-8 without NUL.
 */
#ifndef SOURCE_SAML_PROTOCOL_H
#define SOURCE_SAML_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/message.h>
#include <rolebridge/source/saml.h>

enum saml_frame {
	SAML_FRAME_SETUP = 1,	   /* struct saml_setup */
	SAML_FRAME_VERIFY,	   /* struct saml_receive_job */
	SAML_FRAME_LOGIN,	   /* struct saml_login_request */
	SAML_FRAME_LOGOUT_START,   /* struct saml_logout_start */
	SAML_FRAME_LOGOUT_RECEIVE, /* struct saml_receive_job */
	SAML_FRAME_LOGOUT_ANSWER,  /* struct saml_answer_job */
	SAML_FRAME_DESCRIBE,	   /* varint provider: our metadata */
	SAML_FRAME_READ_METADATA,  /* struct saml_metadata_job */
	SAML_FRAME_READY = 32,	   /* empty */
	SAML_FRAME_VERDICT,	   /* struct saml_verdict */
	SAML_FRAME_LOGOUT_VERDICT, /* struct saml_logout_verdict */
	SAML_FRAME_OUTGOING,	   /* struct saml_outgoing */
	SAML_FRAME_XML,		   /* text */
	SAML_FRAME_IDP,		   /* struct saml_idp */
	SAML_FRAME_FAILED,	   /* struct saml_failure */
};

/* Each answer ends with u8: the worker has grown and would rather be replaced. */

#define SAML_SETUP_MAX ((size_t)64 * 1024 * 1024)
#define SAML_JOB_MAX ((size_t)1024 * 1024)
#define SAML_METADATA_JOB_MAX (SAML_METADATA_MAX + 1024 * 1024)
#define SAML_ANSWER_MAX ((size_t)16 * 1024 * 1024)
/* As the browser sends it: 256 KiB in base64, with line breaks, percent-encoded. */
#define SAML_MESSAGE_MAX ((size_t)900 * 1024)
#define SAML_PROVIDERS_MAX 4096
#define SAML_LIST_MAX 65536

struct wire {
	struct strbuf *out; /* NULL: decode */
	struct reader *in;
	struct arena *arena; /* of what is decoded */
};

/* What a worker knows: the settings, paths of key files among them, and all providers. */
struct saml_setup {
	struct saml_settings settings;
	const struct saml_provider *providers;
	size_t count;
};

/* encoded and query of the message are borrowed from the frame. */
struct saml_receive_job {
	struct saml_question question;
	struct saml_message message;
};

struct saml_answer_job {
	size_t provider;
	int64_t now_s;
	const char *id;
	struct saml_logout request;
	bool success;
};

/* xml is borrowed from the frame. */
struct saml_metadata_job {
	const void *xml;
	size_t size;
	const char *entity_id;	      /* "": the only one */
	struct saml_blob certificate; /* size 0: none */
	int64_t now_s;
};

struct saml_verdict {
	bool refused;
	struct saml_refusal refusal;
	struct saml_assertion assertion; /* of a refusal: what could be read, for explaining */
};

struct saml_logout_verdict {
	bool refused;
	struct saml_refusal refusal;
	struct saml_logout logout;
};

struct saml_failure {
	uint8_t code;	    /* enum err_code */
	const char *reason; /* one of those known here, or "" */
	const char *text;
};

void wire_setup(struct wire *wire, struct saml_setup *setup);
void wire_receive_job(struct wire *wire, struct saml_receive_job *job);
void wire_login(struct wire *wire, struct saml_login_request *request);
void wire_logout_start(struct wire *wire, struct saml_logout_start *start);
void wire_answer_job(struct wire *wire, struct saml_answer_job *job);
void wire_provider_number(struct wire *wire, size_t *provider);
void wire_metadata_job(struct wire *wire, struct saml_metadata_job *job);
void wire_verdict(struct wire *wire, struct saml_verdict *verdict);
void wire_logout_verdict(struct wire *wire, struct saml_logout_verdict *verdict);
void wire_outgoing(struct wire *wire, struct saml_outgoing *outgoing);
void wire_xml(struct wire *wire, const char **xml);
void wire_idp(struct wire *wire, struct saml_idp *idp);
void wire_failure(struct wire *wire, struct saml_failure *failure);
void wire_bool(struct wire *wire, bool *value);

/*
 * After decoding: everything was there, nothing was left. -1 with ERR_PROTOCOL
 * "WHAT malformed", or ERR_MEMORY.
 */
int wire_done(const struct wire *wire, const char *what, struct err *err);

/* A failure as an error again. reason is one of the static words, or NULL. */
int saml_failure_raise(const struct saml_failure *failure, struct err *err);
/* Borrows err, whose text is made valid UTF-8. */
struct saml_failure saml_failure_of(struct err *err);

#endif
