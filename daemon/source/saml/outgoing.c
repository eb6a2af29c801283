/*
 * Messages we send (SAML Core 3.4, 3.7; Bindings 3.4, 3.5; Metadata 2). Enters: settings,
 * ids and names. Leaves: a URL or a form. Fails on texts that no XML document can hold.
 *
 * They are written as text: a dozen elements of known form, each value escaped on
 * its way. Lasso could build them from objects and sessions of its own, but it hands
 * our key about as a file name, and what it writes could not be told from what it read.
 */
#include "outgoing.h"

#include <string.h>

#include <openssl/evp.h>
#include <zlib.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "xml.h"

#define MESSAGE_MAX ((size_t)256 * 1024)
#define LOGOUT_VALID_S 300
#define SIGNATURE_ALGORITHM "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
#define BINDING "urn:oasis:names:tc:SAML:2.0:bindings:"
#define STATUS "urn:oasis:names:tc:SAML:2.0:status:"

/* --- writing --- */

void outgoing_escape(struct strbuf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		switch (c) {
		case '&': strbuf_puts(out, "&amp;"); break;
		case '<': strbuf_puts(out, "&lt;"); break;
		case '>': strbuf_puts(out, "&gt;"); break;
		case '"': strbuf_puts(out, "&quot;"); break;
		case '\t':
		case '\n':
		case '\r': strbuf_printf(out, "&#%d;", c); break;
		default:
			/* XML 1.0 has no way to write other control characters. */
			if (c < ' ')
				strbuf_fail(out);
			strbuf_putc(out, *text);
		}
	}
}

static void put_attribute(struct strbuf *out, const char *name, const char *value)
{
	strbuf_printf(out, " %s=\"", name);
	outgoing_escape(out, value);
	strbuf_putc(out, '"');
}

static void put_element(struct strbuf *out, const char *name, const char *value)
{
	strbuf_printf(out, "<%s>", name);
	outgoing_escape(out, value);
	strbuf_printf(out, "</%s>", name);
}

static bool given(const struct located *text)
{
	return text->text && text->text[0] != '\0';
}

static int finish(const struct strbuf *xml, struct arena *arena, const char **ret_xml,
		  struct err *err)
{
	const char *text;

	/* U+FFFE, U+FFFF and broken UTF-8 were kept out where the text came from, or end here. */
	if (strbuf_failed(xml) || !text_is_utf8(strbuf_text(xml), xml->size))
		return err_set(err, ERR_INVALID, "a text cannot stand in a SAML message");
	text = arena_strdup(arena, strbuf_text(xml));
	if (!text)
		return err_set(err, ERR_MEMORY, "out of memory for a SAML message");
	*ret_xml = text;
	return 0;
}

struct envelope {
	const char *root, *id, *destination, *issuer;
	int64_t now_s;
	const char *in_response_to; /* NULL: none */
	int64_t not_on_or_after_s;  /* 0: none */
};

static void put_time(struct strbuf *out, const char *name, int64_t time_s)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(time_s, text);
	put_attribute(out, name, text);
}

static void open_root(struct strbuf *out, const struct envelope *envelope)
{
	strbuf_printf(out, "<samlp:%s xmlns:samlp=\"" NS_SAMLP "\" xmlns:saml=\"" NS_SAML "\"",
		      envelope->root);
	put_attribute(out, "ID", envelope->id);
	put_attribute(out, "Version", "2.0");
	put_time(out, "IssueInstant", envelope->now_s);
	put_attribute(out, "Destination", envelope->destination);
	if (envelope->in_response_to)
		put_attribute(out, "InResponseTo", envelope->in_response_to);
	if (envelope->not_on_or_after_s)
		put_time(out, "NotOnOrAfter", envelope->not_on_or_after_s);
}

/* --- bindings --- */

static char *encode_base64(const void *data, size_t size, struct arena *arena)
{
	char *text = arena_alloc_array(arena, (size + 2) / 3 + 1, 4);

	if (text)
		EVP_EncodeBlock((unsigned char *)text, data, (int)size);
	return text;
}

static void put_percent(struct strbuf *out, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";

	for (; *text; text++) {
		if (strchr(plain, *text))
			strbuf_putc(out, *text);
		else
			strbuf_printf(out, "%%%02X", (unsigned char)*text);
	}
}

/* Raw deflate (Bindings 3.4.4.1), then base64. NULL: out of memory. */
static const char *deflate_message(const char *xml, struct arena *arena)
{
	const size_t size = strlen(xml);
	z_stream stream = { .next_in = (unsigned char *)(uintptr_t)xml, .avail_in = (uInt)size };
	const char *text = NULL;
	unsigned char *room;
	uLong bound;

	if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	bound = deflateBound(&stream, (uLong)size);
	room = arena_alloc(arena, bound);
	stream.next_out = room;
	stream.avail_out = (uInt)bound;
	if (room && deflate(&stream, Z_FINISH) == Z_STREAM_END)
		text = encode_base64(room, stream.total_out, arena);
	deflateEnd(&stream);
	return text;
}

struct parcel {
	const char *xml, *destination, *relay_state;
	bool is_request, sign;
	enum saml_binding binding;
};

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

/* Bindings 3.4.4.1: what is signed is the query as it is sent, in this order. */
static int pack_redirect(const struct keys *keys, const struct parcel *parcel, struct arena *arena,
			 struct saml_outgoing *ret_outgoing, struct err *err)
{
	AUTO(strbuf) struct strbuf query = STRBUF(2 * MESSAGE_MAX);
	const char *message = deflate_message(parcel->xml, arena);
	const char *separator = strchr(parcel->destination, '?') ? "&" : "?";
	const char *url;

	if (!message)
		return err_set(err, ERR_MEMORY, "out of memory for a SAML message");
	strbuf_puts(&query, parcel->is_request ? "SAMLRequest=" : "SAMLResponse=");
	put_percent(&query, message);
	if (*parcel->relay_state) {
		strbuf_puts(&query, "&RelayState=");
		put_percent(&query, parcel->relay_state);
	}
	if (parcel->sign) {
		const char *signature;
		strbuf_puts(&query, "&SigAlg=");
		put_percent(&query, SIGNATURE_ALGORITHM);
		signature = keys_sign(keys, strbuf_text(&query), query.size, arena);
		if (!signature)
			return err_set(err, ERR_INTERNAL, "cannot sign a SAML message");
		strbuf_puts(&query, "&Signature=");
		put_percent(&query, signature);
	}
	url = strbuf_failed(&query) ? NULL
				    : arena_printf(arena, "%s%s%s", parcel->destination, separator,
						   strbuf_text(&query));
	if (!url)
		return err_set(err, ERR_MEMORY, "out of memory for a SAML message");
	*ret_outgoing = (struct saml_outgoing){ .binding = SAML_REDIRECT,
						.url = url,
						.field = "",
						.value = "",
						.relay_state = parcel->relay_state };
	return 0;
}

static int pack_post(const struct keys *keys, const struct parcel *parcel, struct arena *arena,
		     struct saml_outgoing *ret_outgoing, struct err *err)
{
	const char *xml = parcel->xml, *value, *url;

	if (parcel->sign)
		xml = keys_sign_document(keys, xml, strlen(xml), arena);
	if (!xml)
		return err_set(err, ERR_INTERNAL, "cannot sign a SAML message");
	value = encode_base64(xml, strlen(xml), arena);
	url = arena_strdup(arena, parcel->destination);
	if (!value || !url)
		return err_set(err, ERR_MEMORY, "out of memory for a SAML message");
	*ret_outgoing = (struct saml_outgoing){ .binding = SAML_POST,
						.url = url,
						.field = parcel->is_request ? "SAMLRequest"
									    : "SAMLResponse",
						.value = value,
						.relay_state = parcel->relay_state };
	return 0;
}

static int pack(const struct keys *keys, struct parcel *parcel, struct arena *arena,
		struct saml_outgoing *ret_outgoing, struct err *err)
{
	parcel->relay_state = arena_strdup(arena, text_or_empty(parcel->relay_state));
	if (!parcel->relay_state)
		return err_set(err, ERR_MEMORY, "out of memory for a SAML message");
	return parcel->binding == SAML_REDIRECT
		       ? pack_redirect(keys, parcel, arena, ret_outgoing, err)
		       : pack_post(keys, parcel, arena, ret_outgoing, err);
}

/* --- where to --- */

/* The first one with the binding that is preferred, else the first one; NULL: there is none. */
static const struct saml_endpoint *choose(const struct saml_endpoint *endpoints, size_t count,
					  enum saml_binding preferred)
{
	for (size_t i = 0; i < count; i++)
		if (endpoints[i].binding == preferred)
			return &endpoints[i];
	return count > 0 ? &endpoints[0] : NULL;
}

static int need_idp(const struct saml_provider *provider, struct err *err)
{
	if (provider->idp)
		return 0;
	return err_refuse(err, ERR_UNAVAILABLE, "idp-unavailable",
			  "the metadata of the identity provider is not there");
}

static int need_logout(const struct saml_provider *provider,
		       const struct saml_endpoint **ret_endpoint, struct err *err)
{
	if (need_idp(provider, err) < 0)
		return -1;
	*ret_endpoint = choose(provider->idp->slo, provider->idp->slo_count, SAML_REDIRECT);
	if (*ret_endpoint)
		return 0;
	return err_refuse(err, ERR_NOT_FOUND, "no-logout-endpoint",
			  "the identity provider has no address for logout");
}

static bool signs_requests(const struct saml_provider *provider)
{
	return provider->settings->sign_requests ||
	       (provider->idp && provider->idp->wants_signed_requests);
}

/* --- messages --- */

static void put_login(struct strbuf *out, const struct saml_provider *provider,
		      const struct envelope *envelope, bool force)
{
	const struct saml_source *settings = provider->settings;

	open_root(out, envelope);
	if (force)
		put_attribute(out, "ForceAuthn", "true");
	if (settings->is_passive)
		put_attribute(out, "IsPassive", "true");
	put_attribute(out, "ProtocolBinding", BINDING "HTTP-POST");
	put_attribute(out, "AssertionConsumerServiceURL", provider->acs_url);
	strbuf_putc(out, '>');
	put_element(out, "saml:Issuer", envelope->issuer);
	if (given(&settings->name_id_format)) {
		strbuf_puts(out, "<samlp:NameIDPolicy");
		put_attribute(out, "Format", settings->name_id_format.text);
		strbuf_puts(out, " AllowCreate=\"true\"/>");
	}
	if (settings->authn_contexts.count > 0) {
		strbuf_puts(out, "<samlp:RequestedAuthnContext Comparison=\"exact\">");
		for (size_t i = 0; i < settings->authn_contexts.count; i++)
			put_element(out, "saml:AuthnContextClassRef",
				    settings->authn_contexts.items[i].text);
		strbuf_puts(out, "</samlp:RequestedAuthnContext>");
	}
	strbuf_puts(out, "</samlp:AuthnRequest>");
}

int outgoing_login(const struct keys *keys, const struct saml_provider *provider,
		   const struct saml_login_request *request, struct arena *arena,
		   struct saml_outgoing *ret_outgoing, struct err *err)
{
	AUTO(strbuf) struct strbuf xml = STRBUF(MESSAGE_MAX);
	const struct saml_endpoint *endpoint;
	struct parcel parcel = { .relay_state = request->relay_state,
				 .is_request = true,
				 .sign = signs_requests(provider) };

	if (need_idp(provider, err) < 0)
		return -1;
	endpoint = choose(provider->idp->sso, provider->idp->sso_count,
			  (enum saml_binding)provider->settings->request_binding);
	if (!endpoint)
		return err_set(err, ERR_INTERNAL, "the identity provider has no sign-in address");
	put_login(&xml, provider,
		  &(struct envelope){ .root = "AuthnRequest",
				      .id = request->id,
				      .destination = endpoint->location,
				      .issuer = provider->sp_entity_id,
				      .now_s = request->now_s },
		  request->force_authn || provider->settings->force_authn);
	parcel.destination = endpoint->location;
	parcel.binding = endpoint->binding;
	if (finish(&xml, arena, &parcel.xml, err) < 0)
		return -1;
	return pack(keys, &parcel, arena, ret_outgoing, err);
}

int outgoing_logout_start(const struct keys *keys, const struct saml_provider *provider,
			  const struct saml_logout_start *start, struct arena *arena,
			  struct saml_outgoing *ret_outgoing, struct err *err)
{
	AUTO(strbuf) struct strbuf xml = STRBUF(MESSAGE_MAX);
	const struct saml_endpoint *endpoint = NULL;
	struct parcel parcel = { .relay_state = start->relay_state,
				 .is_request = true,
				 .sign = true };

	if (need_logout(provider, &endpoint, err) < 0)
		return -1;
	open_root(&xml, &(struct envelope){ .root = "LogoutRequest",
					    .id = start->id,
					    .destination = endpoint->location,
					    .issuer = provider->sp_entity_id,
					    .now_s = start->now_s,
					    .not_on_or_after_s = start->now_s + LOGOUT_VALID_S });
	strbuf_putc(&xml, '>');
	put_element(&xml, "saml:Issuer", provider->sp_entity_id);
	strbuf_puts(&xml, "<saml:NameID");
	if (*text_or_empty(start->name_id_format))
		put_attribute(&xml, "Format", start->name_id_format);
	strbuf_putc(&xml, '>');
	outgoing_escape(&xml, text_or_empty(start->name_id));
	strbuf_puts(&xml, "</saml:NameID>");
	if (*text_or_empty(start->session_index))
		put_element(&xml, "samlp:SessionIndex", start->session_index);
	strbuf_puts(&xml, "</samlp:LogoutRequest>");
	parcel.destination = endpoint->location;
	parcel.binding = endpoint->binding;
	if (finish(&xml, arena, &parcel.xml, err) < 0)
		return -1;
	return pack(keys, &parcel, arena, ret_outgoing, err);
}

int outgoing_logout_answer(const struct keys *keys, const struct saml_provider *provider,
			   int64_t now_s, const char *id, const struct saml_logout *request,
			   bool success, struct arena *arena, struct saml_outgoing *ret_outgoing,
			   struct err *err)
{
	AUTO(strbuf) struct strbuf xml = STRBUF(MESSAGE_MAX);
	const struct saml_endpoint *endpoint = NULL;
	struct parcel parcel = { .relay_state = request->relay_state, .sign = true };

	if (need_logout(provider, &endpoint, err) < 0)
		return -1;
	parcel.destination =
		*endpoint->response_location ? endpoint->response_location : endpoint->location;
	parcel.binding = endpoint->binding;
	open_root(&xml, &(struct envelope){ .root = "LogoutResponse",
					    .id = id,
					    .destination = parcel.destination,
					    .issuer = provider->sp_entity_id,
					    .now_s = now_s,
					    .in_response_to = request->id });
	strbuf_putc(&xml, '>');
	put_element(&xml, "saml:Issuer", provider->sp_entity_id);
	strbuf_puts(&xml, "<samlp:Status><samlp:StatusCode");
	put_attribute(&xml, "Value", success ? STATUS "Success" : STATUS "Responder");
	strbuf_puts(&xml, "/></samlp:Status></samlp:LogoutResponse>");
	if (finish(&xml, arena, &parcel.xml, err) < 0)
		return -1;
	return pack(keys, &parcel, arena, ret_outgoing, err);
}

/* --- metadata --- */

static void put_certificates(struct strbuf *out, const char *use, const char *const *certificates,
			     size_t count)
{
	static const char *const ciphers[] = {
		"http://www.w3.org/2009/xmlenc11#aes256-gcm",
		"http://www.w3.org/2009/xmlenc11#aes128-gcm",
		"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
	};

	for (size_t i = 0; i < count; i++) {
		strbuf_printf(out,
			      "  <md:KeyDescriptor use=\"%s\">\n   <ds:KeyInfo><ds:X509Data>"
			      "<ds:X509Certificate>",
			      use);
		strbuf_puts(out, certificates[i]);
		strbuf_puts(out, "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\n");
		for (size_t c = 0; use[0] == 'e' && c < ARRAY_LEN(ciphers); c++)
			strbuf_printf(out, "   <md:EncryptionMethod Algorithm=\"%s\"/>\n",
				      ciphers[c]);
		strbuf_puts(out, "  </md:KeyDescriptor>\n");
	}
}

static void put_service(struct strbuf *out, const char *name, const char *binding,
			const char *location, const char *rest)
{
	strbuf_printf(out, "  <md:%s Binding=\"" BINDING "%s\"", name, binding);
	put_attribute(out, "Location", location);
	strbuf_printf(out, "%s/>\n", rest);
}

static void put_people(struct strbuf *out, const struct saml_settings *settings)
{
	if (given(&settings->organization_name) && given(&settings->organization_url)) {
		const char *name = settings->organization_name.text;
		strbuf_puts(out, " <md:Organization>\n  <md:OrganizationName xml:lang=\"en\">");
		outgoing_escape(out, name);
		strbuf_puts(out, "</md:OrganizationName>\n"
				 "  <md:OrganizationDisplayName xml:lang=\"en\">");
		outgoing_escape(out, name);
		strbuf_puts(out, "</md:OrganizationDisplayName>\n"
				 "  <md:OrganizationURL xml:lang=\"en\">");
		outgoing_escape(out, settings->organization_url.text);
		strbuf_puts(out, "</md:OrganizationURL>\n </md:Organization>\n");
	}
	if (!given(&settings->contact_name) && !given(&settings->contact_email))
		return;
	strbuf_puts(out, " <md:ContactPerson contactType=\"technical\">\n");
	if (given(&settings->contact_name))
		put_element(out, "md:GivenName", settings->contact_name.text);
	if (given(&settings->contact_email)) {
		strbuf_puts(out, "<md:EmailAddress>mailto:");
		outgoing_escape(out, settings->contact_email.text);
		strbuf_puts(out, "</md:EmailAddress>");
	}
	strbuf_puts(out, "\n </md:ContactPerson>\n");
}

static bool wants_signed_assertions(const struct saml_source *settings)
{
	return settings->require_signed == SAML_SIGNED_ASSERTION ||
	       settings->require_signed == SAML_SIGNED_BOTH;
}

int outgoing_metadata(const struct keys *keys, const struct saml_settings *settings,
		      const struct saml_provider *provider, struct arena *arena,
		      const char **ret_xml, struct err *err)
{
	AUTO(strbuf) struct strbuf xml = STRBUF(MESSAGE_MAX);
	const char *const *certificates;
	size_t count;

	strbuf_puts(&xml,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		    "<md:EntityDescriptor xmlns:md=\"" NS_METADATA "\" xmlns:ds=\"" NS_DS "\"");
	put_attribute(&xml, "entityID", provider->sp_entity_id);
	strbuf_puts(&xml, ">\n <md:SPSSODescriptor protocolSupportEnumeration=\"" NS_SAMLP "\"");
	put_attribute(&xml, "AuthnRequestsSigned", signs_requests(provider) ? "true" : "false");
	put_attribute(&xml, "WantAssertionsSigned",
		      wants_signed_assertions(provider->settings) ? "true" : "false");
	strbuf_puts(&xml, ">\n");
	count = keys_signing_certificates(keys, &certificates);
	put_certificates(&xml, "signing", certificates, count);
	count = keys_encryption_certificates(keys, &certificates);
	put_certificates(&xml, "encryption", certificates, count);
	put_service(&xml, "SingleLogoutService", "HTTP-Redirect", provider->slo_url, "");
	put_service(&xml, "SingleLogoutService", "HTTP-POST", provider->slo_url, "");
	if (given(&provider->settings->name_id_format)) {
		strbuf_puts(&xml, "  ");
		put_element(&xml, "md:NameIDFormat", provider->settings->name_id_format.text);
		strbuf_putc(&xml, '\n');
	}
	put_service(&xml, "AssertionConsumerService", "HTTP-POST", provider->acs_url,
		    " index=\"0\" isDefault=\"true\"");
	strbuf_puts(&xml, " </md:SPSSODescriptor>\n");
	put_people(&xml, settings);
	strbuf_puts(&xml, "</md:EntityDescriptor>\n");
	return finish(&xml, arena, ret_xml, err);
}
