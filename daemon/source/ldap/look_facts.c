/*
 * What an entry says of itself, for a look (see look_state.h). Enters: entries with any bytes, times with
 * any text. Leaves: facts that point into the message. Whatever is no number or time is none.
 */
#include "look_state.h"

#include <string.h>
#include <strings.h>

#include <rolebridge/base/util.h>

#include "entry.h"

static bool text_is(const struct berval *value, const char *text)
{
	return value->bv_len == strlen(text) &&
	       strncasecmp(value->bv_val, text, value->bv_len) == 0;
}

static bool is_container_class(const struct berval *value)
{
	static const char *const classes[] = { "organizationalUnit", "container",
					       "organization",	     "domain",
					       "dcObject",	     "country",
					       "locality",	     "builtinDomain",
					       "nsContainer" };

	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		if (text_is(value, classes[i]))
			return true;
	}
	return false;
}

static uint64_t number_of(const struct berval *value)
{
	uint64_t number = 0;

	if (value->bv_len > 19)
		return UINT64_MAX;
	for (size_t i = 0; i < value->bv_len; i++) {
		if (value->bv_val[i] < '0' || value->bv_val[i] > '9')
			return UINT64_MAX;
		number = number * 10 + (uint64_t)(value->bv_val[i] - '0');
	}
	return number;
}

static void take_fact(const struct poll *poll, const struct berval *name,
		      const struct berval *value, struct facts *facts)
{
	if (entry_name_is(name, poll->id_attribute, strlen(poll->id_attribute))) {
		facts->id = fingerprint128(value->bv_val, value->bv_len);
		facts->id_value = *value;
		facts->has_id = true;
	} else if (text_is(name, "objectClass")) {
		facts->is_container |= is_container_class(value);
	} else if (text_is(name, "isDeleted")) {
		facts->is_deleted = text_is(value, "TRUE");
	} else if (text_is(name, "uSNCreated")) {
		facts->created_usn = number_of(value);
	} else if (text_is(name, "createTimestamp")) {
		facts->created_s = told_time(value);
	} else if (text_is(name, TIME_ATTRIBUTE)) {
		facts->modified_s = told_time(value);
	}
}

struct facts look_facts_of(struct look *look, LDAPMessage *message)
{
	struct poll *poll = look->poll;
	/* One that does not decode may be of any size. */
	struct facts facts = { .created_usn = UINT64_MAX, .size = LOOK_VALUE_MAX };
	struct attribute_values values;
	struct berval name, value;
	struct entry entry;

	if (entry_open(look->follow->session->ld, message, &entry) == 0) {
		if (entry.at)
			facts.size = (size_t)(entry.end - entry.at);
		facts.dn = entry.dn;
		facts.has_name = entry.dn.bv_len > 0 &&
				 dn_fingerprint(poll->parents, entry.dn.bv_val, entry.dn.bv_len,
						&poll->scratch, &facts.name, NULL) == 0;
		while (entry_next(&entry, &name, &values) > 0) {
			while (attribute_next_value(&values, &value))
				take_fact(poll, &name, &value, &facts);
		}
	}
	entry_close(&entry);
	return facts;
}
