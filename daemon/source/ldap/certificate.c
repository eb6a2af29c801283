/*
 * Certificates for people (see certificate.h). Enters: DER of a server, any bytes. Leaves: texts, escaped and cut; times.
 * Behind the lock: GnuTLS computes, and opens nothing.
 */
#include "certificate.h"

#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "output.h"

typedef int name_fn(gnutls_x509_crt_t certificate, gnutls_datum_t *name, unsigned flags);

static void take_name(gnutls_x509_crt_t certificate, name_fn *get, char *ret_text, size_t size)
{
	AUTO(strbuf) struct strbuf shown = STRBUF(64 * 1024);
	gnutls_datum_t name = { 0 };
	size_t used;

	if (get(certificate, &name, 0) < 0)
		return;
	display_escape(&shown, name.data, name.size < 8192 ? name.size : 8192);
	gnutls_free(name.data);
	snprintf(ret_text, size, "%s", strbuf_text(&shown));
	for (used = strlen(ret_text); !text_is_utf8(ret_text, used); used--)
		ret_text[used - 1] = '\0';
}

static gnutls_x509_crt_t parse(const struct certificate *certificate)
{
	gnutls_datum_t der = { (unsigned char *)certificate->der.bv_val,
			       (unsigned)certificate->der.bv_len };
	gnutls_x509_crt_t parsed;

	if (der.size == 0 || gnutls_x509_crt_init(&parsed) < 0)
		return NULL;
	if (gnutls_x509_crt_import(parsed, &der, GNUTLS_X509_FMT_DER) == 0)
		return parsed;
	gnutls_x509_crt_deinit(parsed);
	return NULL;
}

static void take_protocol(LDAP *ld, char *ret_text, size_t size)
{
	char *version = NULL;

	if (ldap_get_option(ld, LDAP_OPT_X_TLS_VERSION, &version) == LDAP_OPT_SUCCESS && version)
		snprintf(ret_text, size, "%s", version);
	ldap_memfree(version);
}

void certificate_read(LDAP *ld, struct certificate *ret_certificate)
{
	struct certificate certificate = { 0 };
	gnutls_x509_crt_t parsed;

	take_protocol(ld, certificate.protocol, sizeof(certificate.protocol));
	if (ldap_get_option(ld, LDAP_OPT_X_TLS_PEERCERT, &certificate.der) != LDAP_OPT_SUCCESS)
		certificate.der = (struct berval){ 0 };
	parsed = parse(&certificate);
	if (parsed) {
		certificate.read = true;
		certificate.not_before_s = gnutls_x509_crt_get_activation_time(parsed);
		certificate.expires_s = gnutls_x509_crt_get_expiration_time(parsed);
		take_name(parsed, gnutls_x509_crt_get_dn3, certificate.subject,
			  sizeof(certificate.subject));
		take_name(parsed, gnutls_x509_crt_get_issuer_dn3, certificate.issuer,
			  sizeof(certificate.issuer));
		gnutls_x509_crt_deinit(parsed);
	}
	*ret_certificate = certificate;
}

static bool names_host(const struct certificate *certificate, const char *url)
{
	gnutls_x509_crt_t parsed = parse(certificate);
	LDAPURLDesc *parts = NULL;
	bool names = false;

	if (parsed && ldap_url_parse(url, &parts) == LDAP_SUCCESS && parts->lud_host)
		names = gnutls_x509_crt_check_hostname(parsed, parts->lud_host) != 0;
	ldap_free_urldesc(parts);
	if (parsed)
		gnutls_x509_crt_deinit(parsed);
	return names;
}

void certificate_judge(const struct certificate *certificate, const char *url, int64_t now_s,
		       const char **ret_reason, const char **ret_detail)
{
	if (!certificate->read) {
		*ret_reason = "tls-failed";
		*ret_detail = "the server shows no certificate that can be read";
	} else if (certificate->expires_s < now_s) {
		*ret_reason = "certificate-expired";
		*ret_detail = "the certificate has expired";
	} else if (certificate->not_before_s > now_s) {
		*ret_reason = "certificate-not-yet-valid";
		*ret_detail = "the certificate is not valid yet";
	} else if (!names_host(certificate, url)) {
		*ret_reason = "certificate-name";
		*ret_detail = "the certificate names another host";
	} else {
		*ret_reason = "certificate-untrusted";
		*ret_detail = "the certificate is not signed by 'ca', or TLS failed otherwise";
	}
}

void certificate_finish(struct certificate *certificate)
{
	ldap_memfree(certificate->der.bv_val);
	certificate->der = (struct berval){ 0 };
}
