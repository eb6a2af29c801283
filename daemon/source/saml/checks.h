/*
 * The named checks of a response: one table, every row fails closed, each with its own stable reasons. They
 * look at the verified element, and at the Response around it only to refuse more.
 *
 * Source: SAML 2.0 Core 2.3 to 2.7 and 3.2.2, Profiles 4.1.4.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_CHECKS_H
#define ROLEBRIDGE_SOURCE_SAML_CHECKS_H

#include "attributes.h"
#include "judge.h"

struct checked {
	const struct judge *judge;
	const struct judge_provider *provider;
	const struct saml_question *question;
	const xmlNode *response, *assertion;
	bool response_signed;
	const struct received_list *attributes;
	struct arena *arena;

	/* found on the way */
	struct saml_assertion *assertion_facts;
	const char *key;
};

/* Before anything else: did the IdP say "Success"? Reason: status-not-success. */
int check_status(const xmlNode *response, struct arena *arena, struct saml_refusal *ret_refusal);

/*
 * All checks in order. Fills checked->assertion_facts (texts copied to the arena). With question->explain every check
 * runs, and each gets a line in lines (room for CHECKS_MAX, *ret_lines of them).
 */
#define CHECKS_MAX 32
int checks_run(struct checked *checked, struct saml_check *lines, size_t *ret_lines,
	       struct saml_refusal *ret_refusal);
/* Names in order, NULL at the end. */
const char *const *checks_names(void);

/* xs:dateTime in UTC as SAML wants it: "2026-01-31T10:00:00.123Z"; the fraction is dropped. */
bool saml_time_parse(const char *text, int64_t *ret_time_s);

#endif
