/*
 * Where an IdP's metadata comes from. Enters: settings, the clock. Leaves: facts, understood in a worker process
 * and never here. Fails as the network, the disk or the document does; what was known then stays.
 */
#include "idp.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <rolebridge/base/backoff.h>
#include <rolebridge/base/base64.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/fetch.h>
#include <rolebridge/store/definition.h>

#define CERTIFICATE_MAX ((size_t)64 * 1024)
#define FACTS_MAX ((size_t)16 * 1024 * 1024)
#define ORIGIN_BYTES crypto_generichash_BYTES_MIN
#define SHRINK_MIN 4
#define RETRY_S 60
#define RETRY_MOST_S (64 * RETRY_S)
/* A document that wants to be asked for more often is not heeded; an administrator is. */
#define CACHE_MIN_S 60
#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"

/*
 * <folder of the store>/saml/<source>-<where it comes from>.xml: what another file, URL or entity said must
 * not come into force when the source is pointed elsewhere and the new place cannot be had.
 */
static char *kept_path(const struct saml_source *settings, const char *store_path)
{
	const struct saml_idp_settings *idp = &settings->idp;
	const char *const parts[] = { idp->metadata_file.text, idp->metadata_url.text,
				      idp->entity_id.text,     idp->metadata_certificate.text,
				      idp->metadata.text,      idp->metadata_signer.text };
	char *copy = strdup(store_path), *path = NULL, name[2 * ORIGIN_BYTES + 1];
	crypto_generichash_state state;
	unsigned char hash[ORIGIN_BYTES];

	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const char *part = parts[i] ? parts[i] : "";

		/* With its NUL, which parts them. */
		crypto_generichash_update(&state, (const unsigned char *)part, strlen(part) + 1);
	}
	crypto_generichash_final(&state, hash, sizeof(hash));
	sodium_bin2hex(name, sizeof(name), hash, sizeof(hash));
	if (copy && asprintf(&path, "%s/saml/%s-%s.xml", dirname(copy), settings->common.name.text,
			     name) < 0)
		path = NULL;
	free(copy);
	return path;
}

struct idp *idp_create(const struct saml_source *settings, const char *store_path)
{
	struct idp *idp = calloc(1, sizeof(*idp));

	if (!idp)
		return NULL;
	idp->stored = settings->idp.metadata.text != NULL;
	idp->source = strdup(settings->common.name.text);
	idp->kept_path = kept_path(settings, store_path);
	if (idp->source && idp->kept_path)
		return idp;
	idp_destroy(idp);
	return NULL;
}

void idp_destroy(struct idp *idp)
{
	if (!idp)
		return;
	arena_destroy(idp->arena);
	free(idp->source);
	free(idp->kept_path);
	free(idp->etag);
	free(idp);
}

bool idp_is_ready(const struct idp *idp, int64_t now_s)
{
	return idp->arena && (idp->facts.valid_until_s == 0 || now_s < idp->facts.valid_until_s);
}

void idp_document_finish(struct idp_document *document)
{
	strbuf_finish(&document->bytes);
	arena_destroy(document->arena);
	free(document->etag);
	*document = (struct idp_document){ .bytes = STRBUF(SAML_METADATA_MAX) };
}

/* --- load --- */

/* The first certificate of a text as DER. */
static int decode_certificate(const char *text, const char *what, struct arena *arena,
			      struct saml_blob *ret_blob, struct err *err)
{
	const char *begin = strstr(text, PEM_BEGIN);
	const char *end = begin ? strstr(begin, PEM_END) : NULL;
	unsigned char *der;
	size_t size;

	if (!end)
		return err_set(err, ERR_INVALID, "'%s' holds no PEM certificate", what);
	begin += strlen(PEM_BEGIN);
	der = arena_alloc_array(arena, (size_t)(end - begin) + 1, 1);
	if (!der)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (base64_to_bytes(BASE64_PADDED, begin, (size_t)(end - begin), " \t\r\n", der,
			    (size_t)(end - begin), &size) < 0)
		return err_set(err, ERR_INVALID, "'%s' holds a damaged certificate", what);
	*ret_blob = (struct saml_blob){ der, size };
	return 0;
}

/* What the metadata must be signed with: 1, 0: nothing in particular, -1. */
static int read_signer(const struct saml_idp_settings *idp, struct arena *arena,
		       struct saml_blob *ret_blob, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(CERTIFICATE_MAX);
	const char *path = idp->metadata_certificate.text, *signer = idp->metadata_signer.text;

	if (!path && !signer)
		return 0;
	if (path && file_read(path, CERTIFICATE_MAX, &text, err) < 0)
		return -1;
	if (path)
		signer = strbuf_text(&text);
	return decode_certificate(signer, path ? path : "metadata_signer", arena, ret_blob, err) < 0
		       ? -1
		       : 1;
}

/* From bytes to facts. */
static int understand(const struct saml_source *settings, int64_t now_s,
		      struct idp_document *document, struct err *err)
{
	const struct saml_idp_settings *idp = &settings->idp;
	struct saml_blob certificate;
	int pinned;

	if (document->bytes.size == 0)
		return err_refuse(err, ERR_INVALID, "metadata-empty", "the document is empty");
	document->digest = digest128(document->bytes.data, document->bytes.size);
	document->arena = arena_create(FACTS_MAX);
	if (!document->arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	pinned = read_signer(idp, document->arena, &certificate, err);
	if (pinned < 0)
		return -1;
	return saml_metadata_read(document->bytes.data, document->bytes.size, idp->entity_id.text,
				  pinned ? &certificate : NULL, now_s, document->arena,
				  &document->facts, err);
}

static int fetch_document(const struct idp_look *look, struct idp_document *document,
			  struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
	const struct outgoing_settings *outgoing = look->outgoing;
	size_t count = outgoing->allowed_networks.count;
	const char **networks;
	struct fetch_request request = {
		.url = look->settings->idp.metadata_url.text,
		.etag = look->etag,
		.ca_file = look->settings->idp.ca.text,
		.allow_http = true,
		.timeout_ms = outgoing->timeout_s * 1000,
		.size_max = SAML_METADATA_MAX,
		.cancelled = look->cancelled,
		.context = look->context,
	};
	struct fetch_response response;

	networks = arena ? arena_alloc_array(arena, count + 1, sizeof(*networks)) : NULL;
	if (!networks)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		networks[i] = outgoing->allowed_networks.items[i].text;
	request.allowed_networks = networks;
	request.allowed_network_count = count;
	if (fetch(&request, arena, &response, &document->bytes, err) < 0)
		return -1;
	document->unchanged = look->etag && response.status == 304;
	if (document->unchanged)
		return 0;
	if (response.status != 200)
		return err_set(err, ERR_UNAVAILABLE, "the server answered with status %d",
			       response.status);
	document->etag = response.etag[0] ? strdup(response.etag) : NULL;
	return 0;
}

/* What an administrator handed over. */
static int read_document(const struct idp_look *look, struct idp_document *document,
			 struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(2 * SAML_METADATA_MAX);
	AUTO(store) struct store *store = store_open(look->store_path, STORE_READ, err);
	const char *body;
	int found;

	if (!store)
		return -1;
	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	found = store_document_get(store, look->settings->idp.metadata.text, arena, &body, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "it is not in the store");
	strbuf_puts(&document->bytes, body);
	return strbuf_failed(&document->bytes) ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static int have_document(const struct idp_look *look, struct idp_document *document,
			 struct err *err)
{
	const struct saml_idp_settings *idp = &look->settings->idp;

	if (idp->metadata_file.text)
		return file_read(idp->metadata_file.text, SAML_METADATA_MAX, &document->bytes, err);
	return idp->metadata.text ? read_document(look, document, err)
				  : fetch_document(look, document, err);
}

int idp_load(const struct idp_look *look, struct idp_document *ret_document, struct err *err)
{
	const struct saml_idp_settings *idp = &look->settings->idp;
	struct idp_document document = { .bytes = STRBUF(SAML_METADATA_MAX) };
	int result = have_document(look, &document, err);

	if (result == 0 && !document.unchanged)
		result = understand(look->settings, look->now_s, &document, err);
	if (result == 0) {
		*ret_document = document;
		return 0;
	}
	idp_document_finish(&document);
	return err_wrap(err, "metadata from '%s'",
			idp->metadata_file.text ? idp->metadata_file.text
			: idp->metadata.text	? idp->metadata.text
						: idp->metadata_url.text);
}

int idp_judge(const struct saml_blob *xml, const char *entity_id, const char *signer, int64_t now_s,
	      struct arena *arena, struct saml_idp *ret_idp, struct err *err)
{
	struct saml_blob certificate;

	if (xml->size == 0)
		return err_refuse(err, ERR_INVALID, "metadata-empty", "the document is empty");
	if (signer && decode_certificate(signer, "metadata_signer", arena, &certificate, err) < 0)
		return -1;
	return saml_metadata_read(xml->data, xml->size, entity_id, signer ? &certificate : NULL,
				  now_s, arena, ret_idp, err);
}

void idp_fingerprint(const void *xml, size_t size, char ret_text[static IDP_FINGERPRINT_SIZE])
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];

	crypto_hash_sha256(hash, xml, size);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(ret_text, IDP_FINGERPRINT_SIZE, "sha256:%s", hex);
}

int idp_load_kept(const struct idp *idp, const struct saml_source *settings, int64_t now_s,
		  struct idp_document *ret_document, struct err *err)
{
	struct idp_document document = { .bytes = STRBUF(SAML_METADATA_MAX) };

	if (file_read(idp->kept_path, SAML_METADATA_MAX, &document.bytes, err) == 0 &&
	    understand(settings, now_s, &document, err) == 0) {
		*ret_document = document;
		return 0;
	}
	idp_document_finish(&document);
	return err_wrap(err, "kept metadata '%s'", idp->kept_path);
}

/* --- accept --- */

int idp_accept(struct idp *idp, struct idp_document *document, bool *ret_changed, struct err *err)
{
	bool same = document->unchanged || (idp->arena && memcmp(&idp->digest, &document->digest,
								 sizeof(idp->digest)) == 0);

	if (!same && idp->arena && idp->facts.entities >= SHRINK_MIN &&
	    document->facts.entities < idp->facts.entities / 2)
		return err_refuse(
			err, ERR_INVALID, "metadata-shrunk",
			"the document has %llu entities, the one before had %llu; when that "
			"is right, remove '%s' and reload",
			(unsigned long long)document->facts.entities,
			(unsigned long long)idp->facts.entities, idp->kept_path);
	if (!same) {
		arena_destroy(idp->arena);
		idp->arena = document->arena;
		idp->facts = document->facts;
		idp->digest = document->digest;
		idp->kept = idp->lapsed = false;
		document->arena = NULL;
	}
	if (!document->unchanged) {
		free(idp->etag);
		idp->etag = document->etag;
		document->etag = NULL;
	}
	*ret_changed = !same;
	return 0;
}

int idp_keep(struct idp *idp, const struct idp_document *document, struct err *err)
{
	char *copy;
	const char *folder;

	if (idp->kept || idp->stored || document->unchanged)
		return 0;
	copy = strdup(idp->kept_path);
	folder = copy ? dirname(copy) : NULL;
	if (!folder)
		err_set(err, ERR_MEMORY, "out of memory");
	else if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		err_set_errno(err, ERR_IO, errno, "cannot make folder '%s'", folder);
	else
		idp->kept = file_write_atomic(idp->kept_path, document->bytes.data,
					      document->bytes.size, 0600, err) == 0;
	free(copy);
	return idp->kept ? 0 : -1;
}

void idp_schedule(struct idp *idp, const struct saml_source *settings, bool good, int64_t now_s)
{
	int64_t after_s = settings->idp.refresh_s;

	if (good && idp->facts.cache_duration_s > 0) {
		int64_t cache_s = idp->facts.cache_duration_s;

		cache_s = cache_s > CACHE_MIN_S ? cache_s : CACHE_MIN_S;
		after_s = cache_s < after_s ? cache_s : after_s;
	}
	idp->failures = good ? 0 : idp->failures + 1;
	if (!good) {
		int64_t retry_s = backoff_most(idp->failures, RETRY_S, RETRY_MOST_S);

		after_s = retry_s < after_s ? retry_s : after_s;
	}
	idp->next_s = now_s + after_s;
}

bool idp_is_due(const struct idp *idp, const struct saml_source *settings, int64_t now_s)
{
	/* The latter: the clock was set back. */
	return now_s >= idp->next_s || idp->next_s - now_s > settings->idp.refresh_s;
}
