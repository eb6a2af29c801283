/* DN normaliser: a normal form is its own normal form, and the copy has no byte to spare. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever parents are known, the fingerprint is that of the normal form. */
static void check_fingerprint(const char *text, size_t size, const struct strbuf *normal)
{
	AUTO(strbuf) struct strbuf scratch = STRBUF(1 << 20);
	struct hash128 expected = dn_fingerprint_normal(strbuf_text(normal), normal->size), hash;
	struct dn_parents *parents = dn_parents_create();

	if (!parents)
		abort();
	for (int twice = 0; twice < 2; twice++)
		if (dn_fingerprint(parents, text, size, &scratch, &hash, NULL) < 0 ||
		    !hash128_equal(hash, expected))
			abort();
	dn_parents_destroy(parents);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(1 << 20);
	AUTO(strbuf) struct strbuf again = STRBUF(1 << 20);
	struct err err;

	if (dn_normalize((const char *)data, size, &normal, &err) < 0) {
		if (normal.size != 0 || err.text[0] == '\0')
			abort();
		return 0;
	}
	check_fingerprint((const char *)data, size, &normal);
	/* Folding may make a name longer than names may be. */
	if (normal.size > DN_MAX)
		return 0;
	if (dn_normalize(strbuf_text(&normal), normal.size, &again, &err) < 0 ||
	    strcmp(strbuf_text(&normal), strbuf_text(&again)) != 0)
		abort();
	if (!dn_is_within(strbuf_text(&normal), strbuf_text(&normal)))
		abort();
	return 0;
}
