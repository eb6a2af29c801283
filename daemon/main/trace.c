/*
 * The trace of a SAML source. Enters: a judged response, believed or not. Leaves: log lines, whose fields are
 * escaped by the log. Cannot fail; what is long is cut.
 */
#include "trace.h"

#include <string.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

/* A person may be in thousands of groups. */
#define VALUES_MAX ((size_t)2048)

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static void trace_attribute(const struct schema *schema, const struct source_settings *source,
			    const struct saml_attribute *attribute)
{
	AUTO(strbuf) struct strbuf values = STRBUF(VALUES_MAX + 16);
	const char *const names[] = { attribute->name, attribute->received, attribute->friendly };
	bool hidden = schema_hides(schema, source, names, ARRAY_LEN(names));

	for (size_t i = 0; !hidden && i < attribute->count; i++) {
		const char *value = attribute->values[i];

		if (values.size + strlen(value) + 2 > VALUES_MAX) {
			strbuf_puts(&values, " ...");
			break;
		}
		strbuf_puts(&values, i > 0 ? "; " : "");
		strbuf_puts(&values, value);
	}
	log_info("saml.trace.attribute", F_STR("source", source->name.text),
		 F_STR("received", text_or_empty(attribute->received)),
		 F_STR("name", text_or_empty(attribute->name)), F_INT("count", attribute->count),
		 F_STR("values", hidden ? "(hidden)" : strbuf_text(&values)));
}

void trace_response(const struct schema *schema, const struct source_settings *source,
		    const struct saml_assertion *assertion, const struct saml_refusal *refusal)
{
	log_info("saml.trace", F_STR("source", source->name.text),
		 F_STR("outcome", refusal ? refusal->reason : "accepted"),
		 F_STR("detail", refusal ? refusal->detail : ""),
		 F_STR("response", text_or_empty(assertion->response_id)),
		 F_STR("assertion", text_or_empty(assertion->assertion_id)),
		 F_STR("in_response_to", text_or_empty(assertion->in_response_to)),
		 F_STR("issuer", text_or_empty(assertion->issuer)),
		 F_STR("name_id", text_or_empty(assertion->name_id)),
		 F_STR("name_id_format", text_or_empty(assertion->name_id_format)),
		 F_STR("authn_context", text_or_empty(assertion->authn_context)));
	for (size_t i = 0; i < assertion->check_count; i++) {
		const struct saml_check *check = &assertion->checks[i];

		log_info("saml.trace.check", F_STR("source", source->name.text),
			 F_STR("check", check->name),
			 F_STR("outcome", check->skipped  ? "not-reached"
					  : check->passed ? "passed"
							  : "failed"),
			 F_STR("detail", text_or_empty(check->detail)));
	}
	for (size_t i = 0; i < assertion->attribute_count; i++)
		trace_attribute(schema, source, &assertion->attributes[i]);
}
