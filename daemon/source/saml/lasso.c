/*
 * Lasso as the second verifier (lasso.h). Enters: a message that passed the gate and
 * the first verifier, and what that one read. Leaves: agreement, or a refusal. Fails when
 * Lasso has no memory, and then glib ends the process.
 *
 * Its server is made of metadata that we write ourselves from struct saml_idp, keys as bare RSA
 * numbers: no document of others, with several roles or odd line breaks, reaches it, and it verifies
 * faster than with certificates. Each message gets a fresh profile object; the server is never written to.
 * Of its verdict only what it says about signature, element, issuer and name counts: time,
 * audience, recipient and destination it does not check.
 *
 * Hint MAYBE: either signature satisfies, as with us; IGNORE would accept none, FORCE demand both. There is
 * never a CA chain: that would make it trust the keys in the message.
 */
#include "lasso.h"

#include <stdlib.h>
#include <string.h>

#include <lasso/lasso.h>
#include <lasso/logging.h>
#include <lasso/xml/saml-2.0/samlp2_logout_request.h>
#include <lasso/xml/saml-2.0/samlp2_logout_response.h>
#include <lasso/xml/saml-2.0/samlp2_response.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <xmlsec/base64.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "encoding.h"
#include "outgoing.h"
#include "refusal.h"
#include "xml.h"

#define METADATA_TEXT_MAX ((size_t)1024 * 1024)

struct lasso_verifier {
	LassoServer *server; /* NULL: this provider cannot be served */
};

#ifdef RB_SANITIZE
/* Lasso loses the decoded signature of each redirect; nothing else here allocates by glib. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:g_malloc0\n";
}
#endif

/* --- once --- */

static void drop_line(const gchar *domain, GLogLevelFlags level, const gchar *line,
		      gpointer context)
{
	(void)domain;
	(void)level;
	(void)line;
	(void)context;
}

static GLogWriterOutput drop_fields(GLogLevelFlags level, const GLogField *fields, gsize count,
				    gpointer context)
{
	(void)level;
	(void)fields;
	(void)count;
	(void)context;
	return G_LOG_WRITER_HANDLED;
}

static void drop_text(const gchar *text)
{
	(void)text;
}

/*
 * In place of Lasso's own, which formats each line and the local time before it asks whether anybody
 * listens: a fifth of its verification. Programs' symbols come before those of libraries; where they should
 * not, the handlers below drop what it says.
 */
void lasso_log(GLogLevelFlags level, const char *filename, int line, const char *function,
	       const char *format, ...)
{
	(void)level;
	(void)filename;
	(void)line;
	(void)function;
	(void)format;
}

/*
 * In place of xmlsec1's own, by which Lasso decodes the message: byte by byte, a tenth of its verification. What is plain
 * base64, as what we hand it, is decoded at once; the rest by xmlsec1's parts, as it would.
 */
int xmlSecBase64Decode_ex(const xmlChar *text, xmlSecByte *out, xmlSecSize room,
			  xmlSecSize *written)
{
	size_t size = text ? strlen((const char *)text) : 0, plain = 0;
	xmlSecSize first = 0, last = 0;
	xmlSecBase64Ctx *context;
	int result;

	if (!text || !out || !written)
		return -1;
	if (size / 4 * 3 <= room && base64_decode_plain((const char *)text, size, out, &plain)) {
		*written = (xmlSecSize)plain;
		return 0;
	}
	context = xmlSecBase64CtxCreate(0, 0);
	if (!context)
		return -1;
	result = xmlSecBase64CtxUpdate_ex(context, text, (xmlSecSize)size, out, room, &first);
	if (result >= 0)
		result = xmlSecBase64CtxFinal_ex(context, out + first, room - first, &last);
	xmlSecBase64CtxDestroy(context);
	if (result < 0)
		return -1;
	*written = first + last;
	return 0;
}

int lasso_prepare(struct err *err)
{
	static const char *const domains[] = { "Lasso", "lasso", "libxmlsec", "GLib",
					       "GLib-GObject" };

	/* Every server it makes would read the system's CAs: 65 ms each, for nothing. */
	if (setenv("SSL_CERT_FILE", "/dev/null", 1) < 0 ||
	    setenv("SSL_CERT_DIR", "/dev/null", 1) < 0)
		return err_set(err, ERR_MEMORY, "out of memory");
	g_log_set_default_handler(drop_line, NULL);
	g_log_set_writer_func(drop_fields, NULL, NULL);
	g_set_print_handler(drop_text);
	g_set_printerr_handler(drop_text);
	/* Without a handler of its own, each line would be formatted twice before it is dropped. */
	for (size_t i = 0; i < ARRAY_LEN(domains); i++)
		g_log_set_handler(domains[i],
				  (GLogLevelFlags)(G_LOG_LEVEL_MASK | G_LOG_FLAG_FATAL |
						   G_LOG_FLAG_RECURSION),
				  drop_line, NULL);
	if (lasso_init() != 0)
		return err_set(err, ERR_INTERNAL, "cannot start Lasso");
	return 0;
}

/* --- a server for one provider --- */

static EVP_PKEY *public_key(const struct saml_blob *der)
{
	const unsigned char *at = der->data;
	X509 *certificate = d2i_X509(NULL, &at, (long)der->size);
	EVP_PKEY *key;

	if (certificate) {
		key = X509_get_pubkey(certificate);
		X509_free(certificate);
		return key;
	}
	at = der->data;
	return d2i_PUBKEY(NULL, &at, (long)der->size);
}

static void put_number(struct strbuf *out, const char *name, const EVP_PKEY *key,
		       const char *parameter)
{
	unsigned char bytes[2048];
	char text[sizeof(bytes) / 3 * 4 + 8];
	BIGNUM *number = NULL;
	int size;

	if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1 ||
	    (size_t)BN_num_bytes(number) > sizeof(bytes)) {
		BN_free(number);
		strbuf_fail(out);
		return;
	}
	size = BN_bn2bin(number, bytes);
	BN_free(number);
	EVP_EncodeBlock((unsigned char *)text, bytes, size);
	strbuf_printf(out, "<ds:%s>%s</ds:%s>", name, text, name);
}

/* Returns how many RSA keys were written. */
static size_t put_keys(struct strbuf *out, const struct saml_idp *idp)
{
	size_t count = 0;

	for (size_t i = 0; i < idp->signing_key_count; i++) {
		EVP_PKEY *key = public_key(&idp->signing_keys[i]);
		if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
			strbuf_puts(out, "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo>"
					 "<ds:KeyValue><ds:RSAKeyValue>");
			put_number(out, "Modulus", key, OSSL_PKEY_PARAM_RSA_N);
			put_number(out, "Exponent", key, OSSL_PKEY_PARAM_RSA_E);
			strbuf_puts(out, "</ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>"
					 "</md:KeyDescriptor>");
			count++;
		}
		EVP_PKEY_free(key);
	}
	return count;
}

static void put_entity(struct strbuf *out, const char *entity_id, const char *role)
{
	strbuf_puts(out, "<md:EntityDescriptor xmlns:md=\"" NS_METADATA "\" xmlns:ds=\"" NS_DS
			 "\" entityID=\"");
	outgoing_escape(out, entity_id);
	strbuf_printf(out, "\"><md:%s protocolSupportEnumeration=\"" NS_SAMLP "\">", role);
}

static void put_endpoint(struct strbuf *out, const char *name, const char *location,
			 const char *rest)
{
	strbuf_printf(out,
		      "<md:%s Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" "
		      "Location=\"",
		      name);
	outgoing_escape(out, location);
	strbuf_printf(out, "\"%s/>", rest);
}

static LassoServer *create_server(const struct keys *keys, const struct saml_provider *provider)
{
	AUTO(strbuf) struct strbuf xml = STRBUF(METADATA_TEXT_MAX);
	const struct verify_key *const *unused;
	size_t count = keys_decryption(keys, &unused);
	LassoServer *server;

	put_entity(&xml, provider->sp_entity_id, "SPSSODescriptor");
	put_endpoint(&xml, "SingleLogoutService", provider->slo_url, "");
	put_endpoint(&xml, "AssertionConsumerService", provider->acs_url,
		     " index=\"0\" isDefault=\"true\"");
	strbuf_puts(&xml, "</md:SPSSODescriptor></md:EntityDescriptor>");
	if (strbuf_failed(&xml))
		return NULL;
	server = lasso_server_new_from_buffers(strbuf_text(&xml), NULL, NULL, NULL);
	for (size_t i = 0; server && i < count; i++) {
		if (lasso_server_set_encryption_private_key(server, keys_decryption_pem(keys, i)) !=
		    0) {
			g_object_unref(server);
			return NULL;
		}
	}
	return server;
}

/* 0, 1: there is no key that it could use, -1. */
static int add_idp(LassoServer *server, const struct saml_idp *idp)
{
	AUTO(strbuf) struct strbuf xml = STRBUF(METADATA_TEXT_MAX);
	size_t count;

	put_entity(&xml, idp->entity_id, "IDPSSODescriptor");
	count = put_keys(&xml, idp);
	for (size_t i = 0; i < idp->sso_count; i++)
		put_endpoint(&xml, "SingleSignOnService", idp->sso[i].location, "");
	strbuf_puts(&xml, "</md:IDPSSODescriptor></md:EntityDescriptor>");
	if (count == 0)
		return 1;
	if (strbuf_failed(&xml))
		return -1;
	return lasso_server_add_provider_from_buffer(server, LASSO_PROVIDER_ROLE_IDP,
						     strbuf_text(&xml), NULL, NULL) == 0
		       ? 0
		       : -1;
}

struct lasso_verifier *lasso_verifier_create(const struct keys *keys,
					     const struct saml_provider *provider, struct err *err)
{
	struct lasso_verifier *verifier = alloc_zeroed(1, sizeof(*verifier));
	int added = 1;

	if (!verifier) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (!provider->idp)
		return verifier;
	verifier->server = create_server(keys, provider);
	if (verifier->server)
		added = add_idp(verifier->server, provider->idp);
	if (!verifier->server || added < 0) {
		err_set(err, ERR_INVALID, "Lasso cannot take identity provider '%s'",
			provider->idp->entity_id);
		lasso_verifier_destroy(verifier);
		return NULL;
	}
	if (added > 0) {
		g_object_unref(verifier->server);
		verifier->server = NULL;
	}
	return verifier;
}

void lasso_verifier_destroy(struct lasso_verifier *verifier)
{
	if (!verifier)
		return;
	if (verifier->server)
		g_object_unref(verifier->server);
	free(verifier);
}

/* --- one message --- */

static int disagree(struct saml_refusal *refusal, const char *about)
{
	return refuse(refusal, "verifiers-disagree", "the second verifier %s", about);
}

static bool same(const char *theirs, const char *ours)
{
	return strcmp(theirs ? theirs : "", ours) == 0;
}

static const char *content_of(LassoNode *node)
{
	return LASSO_IS_SAML2_NAME_ID(node) ? LASSO_SAML2_NAME_ID(node)->content : NULL;
}

static int compare_assertion(LassoLogin *login, const struct judge_view *view,
			     struct saml_refusal *refusal)
{
	LassoProfile *profile = LASSO_PROFILE(login);
	LassoSamlp2Response *response;
	LassoSaml2Assertion *assertion;

	if (!LASSO_IS_SAMLP2_RESPONSE(profile->response))
		return disagree(refusal, "found no response");
	response = LASSO_SAMLP2_RESPONSE(profile->response);
	if (g_list_length(response->Assertion) != 1 ||
	    !LASSO_IS_SAML2_ASSERTION(response->Assertion->data))
		return disagree(refusal, "did not find one assertion");
	assertion = LASSO_SAML2_ASSERTION(response->Assertion->data);
	if (!same(LASSO_SAMLP2_STATUS_RESPONSE(response)->ID, view->response_id) ||
	    !same(assertion->ID, view->assertion_id))
		return disagree(refusal, "found another element");
	/* It looks at the assertion's own signature only when the response's is not good. */
	if (view->response_signed && profile->signature_status != 0)
		return disagree(refusal, "did not find the response signed");
	if (!same(profile->remote_providerID, view->issuer) ||
	    !same(content_of((LassoNode *)assertion->Issuer), view->issuer))
		return disagree(refusal, "found another issuer");
	if (!same(content_of(profile->nameIdentifier), view->name_id))
		return disagree(refusal, "found another name");
	return 0;
}

static int ask_response(LassoServer *server, char *encoded, const struct judge_view *view,
			struct saml_refusal *refusal)
{
	LassoLogin *login = lasso_login_new(server);
	int status;

	if (!login)
		return -1;
	lasso_profile_set_signature_verify_hint(LASSO_PROFILE(login),
						LASSO_PROFILE_SIGNATURE_VERIFY_HINT_MAYBE);
	status = lasso_login_process_authn_response_msg(login, encoded);
	if (status != 0)
		status = refuse(refusal, "verifiers-disagree", "the second verifier says: %s",
				lasso_strerror(status));
	else
		status = compare_assertion(login, view, refusal);
	g_object_unref(login);
	return status;
}

static int compare_logout(const LassoProfile *profile, const char *id, const char *name,
			  const struct judge_view *view, struct saml_refusal *refusal)
{
	if (profile->signature_status != 0)
		return disagree(refusal, "did not find the message signed");
	if (!same(id, view->response_id))
		return disagree(refusal, "found another element");
	if (!same(profile->remote_providerID, view->issuer))
		return disagree(refusal, "found another issuer");
	if (name && !same(name, view->name_id))
		return disagree(refusal, "found another name");
	return 0;
}

static int ask_logout(LassoServer *server, char *text, const struct judge_view *view,
		      struct saml_refusal *refusal)
{
	LassoLogout *logout = lasso_logout_new(server);
	const char *id = NULL, *name = NULL;
	LassoProfile *profile;
	int status;

	if (!logout)
		return -1;
	profile = LASSO_PROFILE(logout);
	lasso_profile_set_signature_verify_hint(profile, LASSO_PROFILE_SIGNATURE_VERIFY_HINT_MAYBE);
	status = view->kind == GATE_LOGOUT_REQUEST
			 ? lasso_logout_process_request_msg(logout, text)
			 : lasso_logout_process_response_msg(logout, text);
	if (view->kind == GATE_LOGOUT_REQUEST &&
	    LASSO_IS_SAMLP2_REQUEST_ABSTRACT(profile->request)) {
		id = LASSO_SAMLP2_REQUEST_ABSTRACT(profile->request)->ID;
		name = content_of(profile->nameIdentifier);
		name = name ? name : "";
	} else if (LASSO_IS_SAMLP2_STATUS_RESPONSE(profile->response)) {
		id = LASSO_SAMLP2_STATUS_RESPONSE(profile->response)->ID;
	}
	/* A status other than success is not about the signature: the caller looks at it. */
	if (status == LASSO_PROFILE_ERROR_STATUS_NOT_SUCCESS ||
	    status == LASSO_PROFILE_ERROR_REQUEST_DENIED ||
	    status == LASSO_LOGOUT_ERROR_REQUEST_DENIED ||
	    status == LASSO_LOGOUT_ERROR_PARTIAL_LOGOUT)
		status = 0;
	if (status != 0)
		status = refuse(refusal, "verifiers-disagree", "the second verifier says: %s",
				lasso_strerror(status));
	else
		status = compare_logout(profile, id, name, view, refusal);
	g_object_unref(logout);
	return status;
}

/* What Lasso reads: a query as it came, or the document that passed the gate in plain base64. */
static char *message_text(const struct judge_view *view)
{
	const struct saml_message *message = view->message;
	char *text;

	if (message->binding == SAML_REDIRECT) {
		text = alloc_zeroed(message->query_size + 1, 1);
		if (text)
			memcpy(text, message->query, message->query_size);
		return text;
	}
	text = alloc_zeroed((view->xml_size + 2) / 3 + 1, 4);
	if (text)
		EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)view->xml,
				(int)view->xml_size);
	return text;
}

int lasso_verifier_ask(void *context, const struct judge_view *view,
		       struct saml_refusal *ret_refusal)
{
	const struct lasso_verifier *verifier = context;
	char *text;
	int status;

	if (!verifier->server)
		return refuse(ret_refusal, "verifier-unsupported",
			      "the second verifier knows RSA keys only, and the identity provider "
			      "has none");
	text = message_text(view);
	if (!text)
		return -1;
	status = view->kind == GATE_RESPONSE
			 ? ask_response(verifier->server, text, view, ret_refusal)
			 : ask_logout(verifier->server, text, view, ret_refusal);
	free(text);
	return status;
}
