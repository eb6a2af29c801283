/*
 * What a worker makes and takes, through the pool: sign-in requests, logout both ways, our metadata, each
 * checked by xmlsec1 and OpenSSL themselves; and that no message, good or bad, makes it grow. This program
 * is its own worker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zlib.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>

#include "../../../daemon/source/saml/sandbox.h"
#include "saml_support.h"
#include "support.h"

static struct world world;

static struct saml_pool *make_pool(const struct saml_settings *settings,
				   const struct saml_provider *provider)
{
	struct err err = { 0 };
	struct saml_pool *pool = saml_pool_create(settings, provider, 1, &err);

	if (!pool)
		fail_msg("%s", err.text);
	return pool;
}

/* --- reading what was made --- */

/* The value of a parameter, percent-decoded; free. NULL: it is not there. */
static char *parameter(const char *url, const char *name)
{
	const char *at = strchr(url, '?');
	char *value, *to;

	for (; at; at = strchr(at, '&')) {
		at++;
		if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '=')
			break;
	}
	if (!at)
		return NULL;
	at += strlen(name) + 1;
	value = to = calloc(strlen(at) + 1, 1);
	for (; *at && *at != '&'; at++) {
		if (*at == '%') {
			*to++ = (char)(text_hex_digit((unsigned char)at[1]) * 16 +
				       text_hex_digit((unsigned char)at[2]));
			at += 2;
		} else {
			*to++ = *at;
		}
	}
	return value;
}

static unsigned char *decode(const char *text, size_t *ret_size)
{
	size_t length = strlen(text);
	unsigned char *bytes = malloc(length + 1);
	int size = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);

	assert_true(size >= 0);
	*ret_size = (size_t)size - (length > 0 && text[length - 1] == '=') -
		    (length > 1 && text[length - 2] == '=');
	bytes[*ret_size] = 0;
	return bytes;
}

static char *inflated(const char *text)
{
	unsigned char *bytes, *out = calloc(1, 65536);
	z_stream stream = { .next_out = out, .avail_out = 65535 };
	size_t size;

	bytes = decode(text, &size);
	stream.next_in = bytes;
	stream.avail_in = (uInt)size;
	assert_int_equal(inflateInit2(&stream, -MAX_WBITS), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	inflateEnd(&stream);
	free(bytes);
	return (char *)out;
}

/* Bindings 3.4.4.1: over the query up to SigAlg, as it stands. */
static void check_redirect_signature(const char *url, const char *first)
{
	char *algorithm = parameter(url, "SigAlg"), *text = parameter(url, "Signature");
	const char *begin = strstr(url, first), *end = strstr(url, "&Signature=");
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char *signature;
	size_t size;

	assert_non_null(begin);
	assert_non_null(end);
	assert_string_equal(algorithm, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256");
	signature = decode(text, &size);
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, world.sp.key), 1);
	assert_int_equal(EVP_DigestVerify(context, signature, size, (const unsigned char *)begin,
					  (size_t)(end - begin)),
			 1);
	EVP_MD_CTX_free(context);
	free(signature);
	free(algorithm);
	free(text);
}

/* The message in the form, its signature verified; free. */
static char *check_post(const struct saml_outgoing *outgoing)
{
	size_t size;
	char *xml = (char *)decode(outgoing->value, &size);
	xmlDoc *doc = xmlReadMemory(xml, (int)size, NULL, NULL, 0);
	xmlNode *root = xmlDocGetRootElement(doc), *signature;
	xmlSecDSigCtx *context = xmlSecDSigCtxCreate(NULL);
	xmlAttr *id = xmlHasProp(root, (const xmlChar *)"ID");

	signature = saml_make_child(root, "Signature");
	assert_non_null(signature);
	xmlAddID(NULL, doc, id->children->content, id);
	context->signKey = xmlSecKeyDuplicate(world.sp.xml);
	assert_int_equal(xmlSecDSigCtxVerify(context, signature), 0);
	assert_int_equal(context->status, xmlSecDSigStatusSucceeded);
	xmlSecDSigCtxDestroy(context);
	xmlFreeDoc(doc);
	return xml;
}

static void contains(const char *xml, const char *part)
{
	if (!strstr(xml, part))
		fail_msg("no %s in %s", part, xml);
}

static void lacks(const char *xml, const char *part)
{
	if (strstr(xml, part))
		fail_msg("%s in %s", part, xml);
}

/* --- the sandbox --- */

#define NOT_KILLED 3

/* In a process of its own, locked up as a worker: 0 when the call came back with EACCES. */
static int call_locked_up(long number)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		long result;
		if (sandbox_enter((size_t)1 << 30, NULL) < 0)
			_exit(NOT_KILLED + 1);
		result = syscall(number, -1L, (long)(uintptr_t) "/etc/passwd", 0L, 0L, 0L, 0L);
		_exit(result < 0 && errno == EACCES ? 0 : NOT_KILLED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_sandbox(void **state)
{
	static const struct {
		const char *name;
		long number;
		int end; /* 0: EACCES; negative: killed by that signal */
	} calls[] = {
		{ "openat", SYS_openat, 0 },
		{ "newfstatat", SYS_newfstatat, 0 },
		{ "socket", SYS_socket, -SIGSYS },
		{ "connect", SYS_connect, -SIGSYS },
		{ "execve", SYS_execve, -SIGSYS },
		{ "clone", SYS_clone, -SIGSYS },
		{ "clone3", SYS_clone3, -SIGSYS },
		{ "kill", SYS_kill, -SIGSYS },
		{ "ptrace", SYS_ptrace, -SIGSYS },
		{ "openat2", SYS_openat2, -SIGSYS },
		{ "unlinkat", SYS_unlinkat, -SIGSYS },
		{ "ioctl", SYS_ioctl, -SIGSYS },
		{ "prctl", SYS_prctl, -SIGSYS },
		{ "mprotect", SYS_mprotect, -SIGSYS },
		{ "dup", SYS_dup, -SIGSYS },
		{ "io_uring_setup", SYS_io_uring_setup, -SIGSYS },
		{ "memfd_create", SYS_memfd_create, -SIGSYS },
		{ "process_vm_readv", SYS_process_vm_readv, -SIGSYS },
	};

	(void)state;
#ifdef RB_SANITIZE
	skip(); /* the filter is wider there */
#endif
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		int end = call_locked_up(calls[i].number);
		if (end != calls[i].end)
			fail_msg("%s: %d", calls[i].name, end);
	}
}

/* --- sign-in --- */

static void test_login_redirect(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct saml_pool *pool = make_pool(&world.settings, &world.provider);
	const struct saml_login_request request = { .now_s = NOW_S,
						    .id = "_0123",
						    .relay_state = "a&b=c d\xc3\xa9" };
	struct saml_outgoing outgoing;
	char *message, *xml, *relay_state;

	(void)state;
	assert_int_equal(saml_pool_login(pool, &request, arena, &outgoing, NULL), 0);
	assert_int_equal(outgoing.binding, SAML_REDIRECT);
	/* The address has a query of its own already. */
	assert_int_equal(
		strncmp(outgoing.url, IDP_SSO "&SAMLRequest=", strlen(IDP_SSO "&SAMLRequest=")), 0);
	relay_state = parameter(outgoing.url, "RelayState");
	assert_string_equal(relay_state, "a&b=c d\xc3\xa9");
	check_redirect_signature(outgoing.url, "SAMLRequest=");
	message = parameter(outgoing.url, "SAMLRequest");
	xml = inflated(message);
	contains(xml, "ID=\"_0123\"");
	contains(xml, "Version=\"2.0\"");
	contains(xml, "IssueInstant=\"2026-11-18T11:06:40Z\"");
	contains(xml, "Destination=\"" IDP_SSO "\"");
	contains(xml, "AssertionConsumerServiceURL=\"" SP_ACS "\"");
	contains(xml, "<saml:Issuer>" SP_ENTITY "</saml:Issuer>");
	/* Only when configured. */
	lacks(xml, "NameIDPolicy");
	lacks(xml, "RequestedAuthnContext");
	lacks(xml, "ForceAuthn");
	lacks(xml, "IsPassive");
	free(message);
	free(xml);
	free(relay_state);
	saml_pool_release(pool);
}

static void test_login_post(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct located contexts[] = { LOCATED("https://refeds.org/profile/mfa"),
					    LOCATED("urn:a&b") };
	const struct saml_login_request request = {
		.now_s = NOW_S, .id = "_0123", .relay_state = "x", .force_authn = true
	};
	struct saml_source source = world.source;
	struct saml_provider provider = world.provider;
	struct saml_outgoing outgoing;
	struct saml_pool *pool;
	char *xml;

	(void)state;
	source.request_binding = SAML_POST;
	source.is_passive = true;
	source.name_id_format = LOCATED("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent");
	source.authn_contexts = (struct located_list){ ARRAY_LEN(contexts), contexts };
	provider.settings = &source;
	pool = make_pool(&world.settings, &provider);
	assert_int_equal(saml_pool_login(pool, &request, arena, &outgoing, NULL), 0);
	assert_int_equal(outgoing.binding, SAML_POST);
	assert_string_equal(outgoing.url, IDP_SSO);
	assert_string_equal(outgoing.field, "SAMLRequest");
	assert_string_equal(outgoing.relay_state, "x");
	xml = check_post(&outgoing);
	contains(xml, "ForceAuthn=\"true\" IsPassive=\"true\"");
	contains(xml, "Comparison=\"exact\"><saml:AuthnContextClassRef>https://refeds.org/profile/"
		      "mfa</saml:AuthnContextClassRef><saml:AuthnContextClassRef>urn:a&amp;b</");
	contains(xml, "nameid-format:persistent\" AllowCreate=\"true\"/>");
	free(xml);
	saml_pool_release(pool);
}

static void test_login_unsigned(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct saml_login_request request = { .now_s = NOW_S, .id = "_1", .relay_state = "" };
	struct saml_source source = world.source;
	struct saml_provider provider = world.provider;
	struct saml_idp idp = world.facts;
	struct saml_outgoing outgoing;
	struct saml_pool *pool;
	const char *xml;

	(void)state;
	source.sign_requests = false;
	provider.settings = &source;
	pool = make_pool(&world.settings, &provider);
	assert_int_equal(saml_pool_login(pool, &request, arena, &outgoing, NULL), 0);
	lacks(outgoing.url, "Signature");
	lacks(outgoing.url, "RelayState");
	assert_int_equal(saml_pool_metadata(pool, 0, arena, &xml, NULL), 0);
	contains(xml, "AuthnRequestsSigned=\"false\"");
	saml_pool_release(pool);
	/* Its metadata wants them signed: it would refuse others. */
	idp.wants_signed_requests = true;
	provider.idp = &idp;
	pool = make_pool(&world.settings, &provider);
	assert_int_equal(saml_pool_login(pool, &request, arena, &outgoing, NULL), 0);
	check_redirect_signature(outgoing.url, "SAMLRequest=");
	saml_pool_release(pool);
}

/* --- logout --- */

static void test_logout_start(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct saml_pool *pool = make_pool(&world.settings, &world.provider);
	struct saml_logout_start start = { .now_s = NOW_S,
					   .id = "_9",
					   .name_id = "R&D <a>",
					   .name_id_format = "urn:f",
					   .session_index = "_s1",
					   .relay_state = "" };
	struct saml_outgoing outgoing;
	struct err err = { 0 };
	char *message, *xml;

	(void)state;
	assert_int_equal(saml_pool_logout_start(pool, &start, arena, &outgoing, &err), 0);
	check_redirect_signature(outgoing.url, "SAMLRequest=");
	message = parameter(outgoing.url, "SAMLRequest");
	xml = inflated(message);
	contains(xml, "<saml:NameID Format=\"urn:f\">R&amp;D &lt;a&gt;</saml:NameID>");
	contains(xml, "<samlp:SessionIndex>_s1</samlp:SessionIndex>");
	contains(xml, "NotOnOrAfter=\"2026-11-18T11:11:40Z\"");
	contains(xml, "Destination=\"" IDP_SLO "\"");
	free(message);
	free(xml);
	/* What no XML can hold is our own failure, and the worker lives. */
	start.name_id = "a\x01";
	assert_int_equal(saml_pool_logout_start(pool, &start, arena, &outgoing, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	start.name_id = "a";
	assert_int_equal(saml_pool_logout_start(pool, &start, arena, &outgoing, &err), 0);
	saml_pool_release(pool);
}

static void test_no_logout_endpoint(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct saml_logout_start start = { .now_s = NOW_S, .id = "_9", .name_id = "a" };
	struct saml_provider provider = world.provider;
	struct saml_idp idp = world.facts;
	struct saml_outgoing outgoing;
	struct err err = { 0 };
	struct saml_pool *pool;

	(void)state;
	idp.slo_count = 0;
	provider.idp = &idp;
	pool = make_pool(&world.settings, &provider);
	assert_int_equal(saml_pool_logout_start(pool, &start, arena, &outgoing, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(err_reason(&err), "no-logout-endpoint");
	saml_pool_release(pool);
}

/* The other side: the same code with the IdP's key, which sends to us. */
static struct saml_pool *make_mirror(const struct saml_endpoint *slo, struct saml_idp *us)
{
	static struct saml_provider mirror;
	struct saml_settings settings = world.settings;
	const char *certificate = support_write("idp.crt", "", 0);
	const char *key = support_write("idp.key", "", 0);

	saml_pair_write(&world.idp, certificate, key);
	assert_int_equal(chmod(key, 0600), 0);
	settings.certificate = LOCATED(certificate);
	settings.private_key = LOCATED(key);
	*us = (struct saml_idp){ .entity_id = SP_ENTITY, .slo = slo, .slo_count = 1 };
	mirror = (struct saml_provider){ .settings = &world.source,
					 .idp = us,
					 .sp_entity_id = IDP_ENTITY,
					 .acs_url = "https://idp.example/acs",
					 .slo_url = IDP_SLO };
	return make_pool(&settings, &mirror);
}

static struct saml_message as_message(const struct saml_outgoing *outgoing)
{
	struct saml_message message = { .binding = outgoing->binding };

	if (outgoing->binding == SAML_POST)
		return world_message(outgoing->value);
	message.query = strchr(outgoing->url, '?') + 1;
	message.query_size = strlen(message.query);
	return message;
}

static void check_logout_both_ways(enum saml_binding binding)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct saml_endpoint ours = { binding, SP_SLO, "" };
	const struct saml_logout_start start = { .now_s = NOW_S,
						 .id = "_theirs",
						 .name_id = "person",
						 .session_index = "_s1",
						 .relay_state = "back" };
	const struct saml_question question = world_question();
	struct saml_idp us;
	struct saml_pool *theirs = make_mirror(&ours, &us);
	struct saml_pool *pool = make_pool(&world.settings, &world.provider);
	struct saml_outgoing outgoing;
	struct saml_message message;
	struct saml_logout logout = { 0 };
	struct saml_refusal refusal = { 0 };
	struct err err = { 0 };

	assert_int_equal(saml_pool_logout_start(theirs, &start, arena, &outgoing, &err), 0);
	message = as_message(&outgoing);
	if (saml_pool_logout_receive(pool, &question, &message, arena, &logout, &refusal, &err) !=
	    0)
		fail_msg("%s %s %s", refusal.reason, refusal.detail, err.text);
	assert_true(logout.is_request);
	assert_string_equal(logout.id, "_theirs");
	assert_string_equal(logout.name_id, "person");
	assert_int_equal(logout.session_index_count, 1);
	/* Our answer goes where answers are wanted, with their state. */
	logout.relay_state = "back";
	assert_int_equal(saml_pool_logout_answer(pool, 0, NOW_S, "_ours", &logout, true, arena,
						 &outgoing, &err),
			 0);
	contains(outgoing.url, IDP_SLO "/answer?SAMLResponse=");
	contains(outgoing.url, "&RelayState=back&");
	check_redirect_signature(outgoing.url, "SAMLResponse=");
	/* And theirs to a request of ours. */
	logout.id = "_request";
	assert_int_equal(saml_pool_logout_answer(theirs, 0, NOW_S, "_answer", &logout, true, arena,
						 &outgoing, &err),
			 0);
	message = as_message(&outgoing);
	if (saml_pool_logout_receive(pool, &question, &message, arena, &logout, &refusal, &err) !=
	    0)
		fail_msg("%s %s %s", refusal.reason, refusal.detail, err.text);
	assert_false(logout.is_request);
	assert_true(logout.success);
	assert_string_equal(logout.in_response_to, "_request");
	saml_pool_release(theirs);
	saml_pool_release(pool);
}

static void test_logout_redirect(void **state)
{
	(void)state;
	check_logout_both_ways(SAML_REDIRECT);
}

static void test_logout_post(void **state)
{
	(void)state;
	check_logout_both_ways(SAML_POST);
}

/* --- our metadata --- */

static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	while ((text = strstr(text, part))) {
		count++;
		text += strlen(part);
	}
	return count;
}

static void test_metadata(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct saml_pair old = saml_pair_create(2048, "old");
	struct saml_settings settings = world.settings;
	struct saml_source source = world.source;
	struct saml_provider provider = world.provider;
	struct saml_key_settings pair;
	const struct located next = LOCATED(support_write("next.crt", "", 0));
	struct saml_pool *pool;
	const char *xml;

	(void)state;
	pair = (struct saml_key_settings){ .certificate = LOCATED(support_write("o.crt", "", 0)),
					   .private_key = LOCATED(support_write("o.key", "", 0)) };
	saml_pair_write(&old, pair.certificate.text, pair.private_key.text);
	saml_pair_write(&old, next.text, NULL);
	assert_int_equal(chmod(pair.private_key.text, 0600), 0);
	settings.decryption_keys = (struct struct_list){ 1, &pair };
	settings.next_certificates = (struct located_list){ 1, &next };
	settings.organization_name = LOCATED("R&D <Acme>");
	settings.organization_url = LOCATED("https://acme.example/");
	settings.contact_email = LOCATED("it@acme.example");
	source.require_signed = SAML_SIGNED_ASSERTION;
	provider.settings = &source;
	pool = make_pool(&settings, &provider);
	assert_int_equal(saml_pool_metadata(pool, 0, arena, &xml, NULL), 0);
	contains(xml, "entityID=\"" SP_ENTITY "\"");
	contains(xml, "AuthnRequestsSigned=\"true\" WantAssertionsSigned=\"true\"");
	assert_int_equal(count_of(xml, "use=\"signing\""), 2);
	assert_int_equal(count_of(xml, "use=\"encryption\""), 2);
	assert_int_equal(count_of(xml, world.sp.text), 2);
	assert_int_equal(count_of(xml, old.text), 2);
	assert_int_equal(count_of(xml, "Location=\"" SP_SLO "\""), 2);
	contains(xml, "HTTP-POST\" Location=\"" SP_ACS "\" index=\"0\" isDefault=\"true\"/>");
	contains(xml, "R&amp;D &lt;Acme&gt;");
	contains(xml, "mailto:it@acme.example");
	/* What is encrypted to the old key is still read. */
	struct saml_make make = world_response(&world, 1);
	const struct saml_question question = world_question();
	struct saml_assertion assertion;
	struct saml_refusal refusal = { 0 };
	struct err err = { 0 };
	make.encrypt_to = &old;
	char *encoded = saml_make_encoded(&make);
	const struct saml_message message = world_message(encoded);
	if (saml_pool_verify(pool, &question, &message, arena, &assertion, &refusal, &err) != 0)
		fail_msg("%s %s", refusal.detail, err.text);
	free(encoded);
	saml_pair_destroy(&old);
	saml_pool_release(pool);
}

/* --- memory --- */

static long resident_kib(struct saml_pool *pool)
{
	char path[64], line[256];
	long kib = 0;
	pid_t pid;
	FILE *file;

	assert_int_equal(saml_pool_pids(pool, &pid, 1), 1);
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	fclose(file);
	return kib;
}

enum spoil { AS_IT_IS, CHANGED, CUT, GARBAGE, FOREIGN_KEY };

static const struct {
	const char *name;
	enum spoil spoil;
	unsigned signatures;
	bool encrypt;
	int count; /* how many; a tenth of them under a sanitizer */
	const char *reason;
} floods[] = {
	{ "good ones", AS_IT_IS, SAML_MAKE_ASSERTION, false, 1000, "" },
	{ "good ones, encrypted", AS_IT_IS, SAML_MAKE_ASSERTION, true, 500, "" },
	{ "changed after signing", CHANGED, SAML_MAKE_ASSERTION, false, 2000, "signature-invalid" },
	{ "signed by another", FOREIGN_KEY, SAML_MAKE_ASSERTION, false, 2000, "signature-invalid" },
	{ "without a signature", AS_IT_IS, 0, false, 2000, "signature-missing" },
	{ "cut", CUT, SAML_MAKE_ASSERTION, false, 5000, NULL },
	{ "garbage", GARBAGE, SAML_MAKE_ASSERTION, false, 5000, NULL },
};

static char *flood_message(size_t row)
{
	struct saml_make make = world_response(&world, 1);
	size_t size;
	char *xml, *text;

	make.signatures = floods[row].signatures;
	make.encrypt_to = floods[row].encrypt ? &world.sp : NULL;
	make.idp = floods[row].spoil == FOREIGN_KEY ? &world.sp : &world.idp;
	xml = saml_make_xml(&make, &size);
	if (floods[row].spoil == CHANGED)
		memcpy(strstr(xml, "Lovelace"), "Lovelacf", 8);
	if (floods[row].spoil == CUT)
		size /= 2;
	if (floods[row].spoil == GARBAGE)
		for (size_t i = 0; i < size; i++)
			xml[i] = (char)(i * 7919 >> 3);
	text = saml_make_base64(xml, size);
	free(xml);
	return text;
}

static void run_flood(struct saml_pool *pool, size_t row, const char *encoded, int count)
{
	const struct saml_question question = world_question();
	const struct saml_message message = world_message(encoded);

	for (int i = 0; i < count; i++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		struct saml_assertion assertion;
		struct saml_refusal refusal = { 0 };
		struct err err = { 0 };
		if (saml_pool_verify(pool, &question, &message, arena, &assertion, &refusal, &err) <
			    0 ||
		    (floods[row].reason && strcmp(refusal.reason, floods[row].reason) != 0))
			fail_msg("%s: %s %s %s", floods[row].name, refusal.reason, refusal.detail,
				 err.text);
	}
}

static void test_memory(void **state)
{
	struct saml_pool *pool = make_pool(&world.settings, &world.provider);
	struct saml_pool_counts counts;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
		char *encoded = flood_message(i);
		int count = floods[i].count;
		long before, grown;
#ifdef RB_SANITIZE
		count /= 20;
#endif
		if (getenv("ROLEBRIDGE_FLOOD"))
			count = (int)strtol(getenv("ROLEBRIDGE_FLOOD"), NULL, 10);
		run_flood(pool, i, encoded, 200);
		before = resident_kib(pool);
		run_flood(pool, i, encoded, count);
		grown = resident_kib(pool) - before;
		if (getenv("ROLEBRIDGE_FLOOD"))
			print_message("%s: %d messages, %+ld KiB\n", floods[i].name, count, grown);
#ifndef RB_SANITIZE
		/* A hundred bytes a message would show. */
		if (grown > 128 + count / 10)
			fail_msg("%s: %ld KiB more after %d messages", floods[i].name, grown,
				 count);
#endif
		free(encoded);
	}
	saml_pool_counts(pool, &counts);
	assert_int_equal(counts.deaths + counts.timeouts + counts.replaced, 0);
	saml_pool_release(pool);
}

/*
 * Lasso loses the signature of each redirect it verifies. A worker that has grown is replaced between
 * two messages; nobody notices.
 */
static void test_replacement(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct saml_endpoint ours = { SAML_REDIRECT, SP_SLO, "" };
	const struct saml_logout_start start = { .now_s = NOW_S, .id = "_x", .name_id = "person" };
	const struct saml_question question = world_question();
	struct saml_idp us;
	struct saml_pool *theirs = make_mirror(&ours, &us);
	struct saml_pool *pool = make_pool(&world.settings, &world.provider);
	struct saml_pool_counts counts = { 0 };
	struct saml_outgoing outgoing;
	struct saml_message message;

	int limit = 20000;
#ifdef RB_SANITIZE
	limit = 200;
#endif

	(void)state;
	assert_int_equal(saml_pool_logout_start(theirs, &start, arena, &outgoing, NULL), 0);
	saml_pool_release(theirs);
	message = as_message(&outgoing);
	for (int i = 0; i < limit && counts.replaced == 0; i++) {
		AUTO(arena) struct arena *job = arena_create(1 << 20);
		struct saml_logout logout;
		struct saml_refusal refusal = { 0 };
		struct err err = { 0 };
		if (saml_pool_logout_receive(pool, &question, &message, job, &logout, &refusal,
					     &err) != 0)
			fail_msg("message %d: %s %s", i, refusal.detail, err.text);
		saml_pool_counts(pool, &counts);
	}
#ifndef RB_SANITIZE
	/* A sanitizer's allocator does not tell how much is in use. */
	assert_int_equal(counts.replaced, 1);
	assert_true(counts.jobs > 1000);
#endif
	assert_int_equal(counts.deaths + counts.timeouts, 0);
	assert_int_equal(counts.workers, 1);
	saml_pool_release(pool);
}

/* Too large for any worker: refused without asking one. */
static void test_oversize(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct saml_pool *pool = make_pool(&world.settings, &world.provider);
	const struct saml_question question = world_question();
	const size_t size = (size_t)1024 * 1024;
	char *text = malloc(size + 1);
	struct saml_message message;
	struct saml_assertion assertion;
	struct saml_refusal refusal = { 0 };

	(void)state;
	memset(text, 'A', size);
	text[size] = 0;
	message = world_message(text);
	assert_int_equal(
		saml_pool_verify(pool, &question, &message, arena, &assertion, &refusal, NULL), 1);
	assert_string_equal(refusal.reason, "message-too-large");
	/* Within that, the gate says the same. */
	text[600 * 1024] = 0;
	message = world_message(text);
	assert_int_equal(
		saml_pool_verify(pool, &question, &message, arena, &assertion, &refusal, NULL), 1);
	assert_string_equal(refusal.reason, "message-too-large");
	free(text);
	saml_pool_release(pool);
}

static int set_up(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world_finish(&world);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sandbox),		cmocka_unit_test(test_login_redirect),
		cmocka_unit_test(test_login_post),	cmocka_unit_test(test_login_unsigned),
		cmocka_unit_test(test_logout_start),	cmocka_unit_test(test_no_logout_endpoint),
		cmocka_unit_test(test_logout_redirect), cmocka_unit_test(test_logout_post),
		cmocka_unit_test(test_metadata),	cmocka_unit_test(test_memory),
		cmocka_unit_test(test_replacement),	cmocka_unit_test(test_oversize),
	};

	if (argc > 2 && strcmp(argv[1], "--worker") == 0)
		return saml_worker_main(WORKER_SOCKET);
	if (getenv("ROLEBRIDGE_VALGRIND")) {
		print_message(
			"skipped: under valgrind /proc/self/exe is valgrind, not this program\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
