/*
 * The yardstick D: read all users and all groups with members from a
 * directory, paged by 1,000, through libldap, touching every value without copying
 * it. What no reader of this directory through libldap can be much faster than.
 *
 *	drain URI BASE [times]
 *
 * Prints one line per run: seconds, entries, values, bytes.
 */
#include <lber.h>
#include <ldap.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_SIZE 1000

struct totals {
	size_t entries, values, bytes;
};

static int fail(const char *what, int code)
{
	fprintf(stderr, "drain: %s: %s\n", what, ldap_err2string(code));
	return -1;
}

static void count_entry(LDAP *directory, LDAPMessage *entry, struct totals *totals)
{
	struct berval dn, name, *values;
	BerElement *ber = NULL;

	if (ldap_get_dn_ber(directory, entry, &ber, &dn) != LDAP_SUCCESS)
		return;
	totals->entries++;
	while (ldap_get_attribute_ber(directory, entry, ber, &name, &values) == LDAP_SUCCESS &&
	       name.bv_val) {
		for (size_t i = 0; values && values[i].bv_val; i++) {
			totals->values++;
			totals->bytes += values[i].bv_len;
		}
		ber_memfree(values);
	}
	ber_free(ber, 0);
}

/* One page; the cookie of the next goes to *cookie (empty: that was the last). */
static int read_page(LDAP *directory, const char *base, const char *filter,
		     const char *const *attributes, struct berval *cookie, struct totals *totals)
{
	LDAPControl *page = NULL, *controls[2] = { NULL, NULL }, **answers = NULL;
	LDAPMessage *message;
	int id, kind, code = ldap_create_page_control(directory, PAGE_SIZE, cookie, 0, &page);

	if (code != LDAP_SUCCESS)
		return fail("page control", code);
	controls[0] = page;
	code = ldap_search_ext(directory, base, LDAP_SCOPE_SUBTREE, filter,
			       (char **)(uintptr_t)attributes, 0, controls, NULL, NULL,
			       LDAP_NO_LIMIT, &id);
	ldap_control_free(page);
	if (code != LDAP_SUCCESS)
		return fail("search", code);
	while ((kind = ldap_result(directory, id, LDAP_MSG_ONE, NULL, &message)) ==
	       LDAP_RES_SEARCH_ENTRY) {
		count_entry(directory, message, totals);
		ldap_msgfree(message);
	}
	if (kind != LDAP_RES_SEARCH_RESULT)
		return fail("result", LDAP_SERVER_DOWN);
	if (ldap_parse_result(directory, message, &code, NULL, NULL, NULL, &answers, 1) !=
		    LDAP_SUCCESS ||
	    code != LDAP_SUCCESS)
		return fail("search result", code);
	ber_memfree(cookie->bv_val);
	*cookie = (struct berval){ 0, NULL };
	LDAPControl *answer = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, answers, NULL);
	ber_int_t estimate;

	if (answer)
		ldap_parse_pageresponse_control(directory, answer, &estimate, cookie);
	ldap_controls_free(answers);
	return 0;
}

static int read_all(LDAP *directory, const char *base, const char *filter,
		    const char *const *attributes, struct totals *totals)
{
	struct berval cookie = { 0, NULL };

	do {
		if (read_page(directory, base, filter, attributes, &cookie, totals) < 0)
			return -1;
	} while (cookie.bv_len > 0);
	ber_memfree(cookie.bv_val);
	return 0;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int drain(const char *uri, const char *base)
{
	static const char *const user_attributes[] = { "entryUUID",    "uid",	"cn",
						       "mail",	       "title", "departmentNumber",
						       "employeeType", NULL };
	static const char *const group_attributes[] = { "entryUUID", "member", NULL };
	struct totals totals = { 0 };
	int version = LDAP_VERSION3, code, result;
	double start = now_s();
	LDAP *directory;

	code = ldap_initialize(&directory, uri);
	if (code != LDAP_SUCCESS)
		return fail("initialize", code);
	ldap_set_option(directory, LDAP_OPT_PROTOCOL_VERSION, &version);
	result = read_all(directory, base, "(objectClass=groupOfNames)", group_attributes, &totals);
	if (result == 0)
		result = read_all(directory, base, "(objectClass=inetOrgPerson)", user_attributes,
				  &totals);
	ldap_unbind_ext_s(directory, NULL, NULL);
	if (result == 0)
		printf("%.4f s, %zu entries, %zu values, %zu bytes\n", now_s() - start,
		       totals.entries, totals.values, totals.bytes);
	return result;
}

int main(int argc, char **argv)
{
	long times = argc > 3 ? strtol(argv[3], NULL, 10) : 1;

	if (argc < 3) {
		fprintf(stderr, "usage: drain URI BASE [times]\n");
		return 2;
	}
	for (long i = 0; i < times; i++)
		if (drain(argv[1], argv[2]) < 0)
			return 1;
	return 0;
}
