/* The messages we send: sign-in requests, logout requests and responses, our metadata. */
#ifndef SOURCE_SAML_OUTGOING_H
#define SOURCE_SAML_OUTGOING_H

#include <rolebridge/base/strbuf.h>
#include <rolebridge/source/saml.h>

#include "keys.h"

/*
 * All texts live in the arena. ERR_UNAVAILABLE "idp-unavailable": provider->idp is NULL;
 * ERR_NOT_FOUND "no-logout-endpoint"; ERR_INVALID: a text cannot stand in XML.
 */
int outgoing_login(const struct keys *keys, const struct saml_provider *provider,
		   const struct saml_login_request *request, struct arena *arena,
		   struct saml_outgoing *ret_outgoing, struct err *err);
int outgoing_logout_start(const struct keys *keys, const struct saml_provider *provider,
			  const struct saml_logout_start *start, struct arena *arena,
			  struct saml_outgoing *ret_outgoing, struct err *err);
int outgoing_logout_answer(const struct keys *keys, const struct saml_provider *provider,
			   int64_t now_s, const char *id, const struct saml_logout *request,
			   bool success, struct arena *arena, struct saml_outgoing *ret_outgoing,
			   struct err *err);
int outgoing_metadata(const struct keys *keys, const struct saml_settings *settings,
		      const struct saml_provider *provider, struct arena *arena,
		      const char **ret_xml, struct err *err);

/*
 * Text for an element or an attribute in double quotes. Tab and line breaks become references: as they
 * stand, an attribute would have them as spaces. Other control characters make out fail: XML 1.0 cannot hold them.
 */
void outgoing_escape(struct strbuf *out, const char *text);

#endif
