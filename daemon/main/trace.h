/* What a SAML source received, for the log: sources[].trace. */
#ifndef ROLEBRIDGE_MAIN_TRACE_H
#define ROLEBRIDGE_MAIN_TRACE_H

#include <rolebridge/identity/schema.h>
#include <rolebridge/model/saml.h>

/*
 * Log the outcome, every check and every attribute of a response that was judged with `explain`. Values of sensitive
 * attributes and all signatures and messages themselves stay out. refusal NULL: it was accepted.
 */
void trace_response(const struct schema *schema, const struct source_settings *source,
		    const struct saml_assertion *assertion, const struct saml_refusal *refusal);

#endif
