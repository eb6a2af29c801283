/*
 * The root entry (see root.h). Enters: what a server says of itself, any bytes. Leaves: a vendor, what it
 * can, and texts of our own size: one that is longer, or is not clean, counts as not said.
 */
#include "root.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "../directory.h"
#include "entry.h"

#define CAPABILITY_ACTIVE_DIRECTORY "1.2.840.113556.1.4.800" /* MS-ADTS 3.1.1.3.4.3.1 */
#define CONTROL_SYNC "1.3.6.1.4.1.4203.1.9.1.1"		     /* RFC 4533 2.2 */
#define CONTROL_PAGED "1.2.840.113556.1.4.319"		     /* RFC 2696 */
#define CONTROL_SHOW_DELETED "1.2.840.113556.1.4.417"

typedef void root_take_fn(const struct berval *value, struct root *root);

static bool value_is(const struct berval *value, const char *text)
{
	return value->bv_len == strlen(text) &&
	       strncasecmp(value->bv_val, text, value->bv_len) == 0;
}

static bool value_begins(const struct berval *value, const char *text)
{
	return value->bv_len >= strlen(text) && strncasecmp(value->bv_val, text, strlen(text)) == 0;
}

static void take_capability(const struct berval *value, struct root *root)
{
	if (value_is(value, CAPABILITY_ACTIVE_DIRECTORY))
		root->vendor = VENDOR_ACTIVE_DIRECTORY;
}

static void take_control(const struct berval *value, struct root *root)
{
	root->sync |= value_is(value, CONTROL_SYNC);
	root->paged |= value_is(value, CONTROL_PAGED);
	root->show_deleted |= value_is(value, CONTROL_SHOW_DELETED);
}

static void take_vendor(const struct berval *value, struct root *root)
{
	if (root->vendor == VENDOR_OTHER && value_begins(value, "389 Project"))
		root->vendor = VENDOR_389DS;
}

static void take_class(const struct berval *value, struct root *root)
{
	if (root->vendor == VENDOR_OTHER && value_is(value, "OpenLDAProotDSE"))
		root->vendor = VENDOR_OPENLDAP;
}

static void take_usn(const struct berval *value, struct root *root)
{
	uint64_t number = 0;

	if (value->bv_len == 0 || value->bv_len > 19)
		return;
	for (size_t i = 0; i < value->bv_len; i++) {
		if (value->bv_val[i] < '0' || value->bv_val[i] > '9')
			return;
		number = number * 10 + (uint64_t)(value->bv_val[i] - '0');
	}
	root->highest_usn = number;
	root->has_usn = true;
}

static void take_text(const struct berval *value, char *ret_text, size_t size)
{
	if (value->bv_len < size && text_is_utf8(value->bv_val, value->bv_len)) {
		memcpy(ret_text, value->bv_val, value->bv_len);
		ret_text[value->bv_len] = '\0';
	}
}

static void take_service(const struct berval *value, struct root *root)
{
	take_text(value, root->service_name, sizeof(root->service_name));
}

static void take_version(const struct berval *value, struct root *root)
{
	take_text(value, root->version, sizeof(root->version));
}

static void take_context(const struct berval *value, struct root *root)
{
	take_text(value, root->default_context, sizeof(root->default_context));
}

static void take_invocation(const struct berval *value, struct root *root)
{
	char guid[UUID_TEXT_SIZE];
	char text[sizeof(root->identity) + sizeof(guid)];
	int size;

	if (!directory_guid_text(value->bv_val, value->bv_len, guid))
		return;
	size = snprintf(text, sizeof(text), "%s %s", root->service_name, guid);
	if (size > 0 && (size_t)size < sizeof(root->identity))
		memcpy(root->identity, text, (size_t)size + 1);
}

struct root_attribute {
	const char *name;
	root_take_fn *take;
};

static const struct root_attribute of_root[] = {
	{ "supportedCapabilities", take_capability },
	{ "supportedControl", take_control },
	{ "vendorName", take_vendor },
	{ "vendorVersion", take_version },
	{ "objectClass", take_class },
	{ "highestCommittedUSN", take_usn },
	{ "dsServiceName", take_service },
	{ "defaultNamingContext", take_context },
	{ NULL, NULL },
};

static const struct root_attribute of_usn[] = {
	{ "highestCommittedUSN", take_usn },
	{ NULL, NULL },
};

static const struct root_attribute of_service[] = {
	{ "invocationId", take_invocation },
	{ NULL, NULL },
};

static void take_entry(struct session *session, LDAPMessage *message,
		       const struct root_attribute *wanted, struct root *root)
{
	struct attribute_values values;
	struct berval name, value;
	struct entry entry;

	if (entry_open(session->ld, message, &entry) == 0) {
		while (entry_next(&entry, &name, &values) > 0) {
			for (size_t i = 0; wanted[i].name; i++) {
				if (!entry_name_is(&name, wanted[i].name, strlen(wanted[i].name)))
					continue;
				while (attribute_next_value(&values, &value))
					wanted[i].take(&value, root);
			}
		}
	}
	entry_close(&entry);
}

/* One base search, awaited. -1: no success; outcome says why when the session is broken. */
static int read_entry(struct session *session, const char *name,
		      const struct root_attribute *wanted, struct root *root, int *ret_code)
{
	char *attributes[ARRAY_LEN(of_root) + 1] = { NULL };
	LDAPMessage *message;
	int message_id = 0;

	for (size_t i = 0; wanted[i].name; i++)
		attributes[i] = (char *)wanted[i].name;
	if (ldap_search_ext(session->ld, name, LDAP_SCOPE_BASE, "(objectClass=*)", attributes, 0,
			    NULL, NULL, NULL, LDAP_NO_LIMIT, &message_id) != LDAP_SUCCESS) {
		session_note_last(session, "cannot ask for the root entry");
		return -1;
	}
	for (;;) {
		if (session_await(session, message_id, &message) < 0)
			return -1;
		if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT)
			break;
		if (ldap_msgtype(message) == LDAP_RES_SEARCH_ENTRY)
			take_entry(session, message, wanted, root);
		ldap_msgfree(message);
	}
	if (ldap_parse_result(session->ld, message, ret_code, NULL, NULL, NULL, NULL, 1) !=
	    LDAP_SUCCESS)
		*ret_code = LDAP_PROTOCOL_ERROR;
	return 0;
}

/* A server that hides its root entry is one of which nothing is known. */
int root_read(struct session *session, struct root *ret_root)
{
	struct root root = { 0 };
	int code = LDAP_OTHER;

	snprintf(root.identity, sizeof(root.identity), "%s", session->job->url);
	if (read_entry(session, "", of_root, &root, &code) < 0)
		return -1;
	if (root.vendor == VENDOR_ACTIVE_DIRECTORY && root.service_name[0] != '\0') {
		/* One name may stand for all domain controllers: which one it is, at least. */
		snprintf(root.identity, sizeof(root.identity), "%s", root.service_name);
		/* Without the right to read it: another invocation cannot be told from this one. */
		if (read_entry(session, root.service_name, of_service, &root, &code) < 0)
			return -1;
	}
	*ret_root = root;
	return 0;
}

int root_read_usn(struct session *session, uint64_t *ret_usn)
{
	struct root root = { 0 };
	int code = LDAP_OTHER;

	if (read_entry(session, "", of_usn, &root, &code) < 0)
		return -1;
	if (!root.has_usn) {
		session_note(session, code == LDAP_SUCCESS ? LDAP_NO_SUCH_ATTRIBUTE : code, NULL,
			     "server does not tell its highestCommittedUSN");
		return -1;
	}
	*ret_usn = root.highest_usn;
	return 0;
}

const char *root_vendor_name(enum root_vendor vendor)
{
	static const char *const names[] = {
		[VENDOR_OTHER] = "other",
		[VENDOR_OPENLDAP] = "openldap",
		[VENDOR_389DS] = "389ds",
		[VENDOR_ACTIVE_DIRECTORY] = "active-directory",
	};

	return names[vendor];
}
