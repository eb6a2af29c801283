/*
 * What the yardstick of signing in takes, with libraries as they are: this program has nothing of the daemon in it.
 * CPU time of one core, best of several rounds; one line for plain and one for encrypted responses.
 */
#include <string.h>

#include "bare.h"

#define RESPONSES 200
#define ROUNDS 30

static char *encoded[RESPONSES];
static size_t sizes[RESPONSES];

static void measure(const struct bare *bare, const char *name, struct saml_make make)
{
	double best = 1e9;

	for (size_t i = 0; i < RESPONSES; i++) {
		make.number = i + 1;
		encoded[i] = saml_make_encoded(&make);
		sizes[i] = strlen(encoded[i]);
	}
	for (int round = 0; round < ROUNDS; round++) {
		double begin = cpu_s(), us;

		for (size_t i = 0; i < RESPONSES; i++)
			bare_one(bare, encoded[i], sizes[i]);
		us = (cpu_s() - begin) * 1e6 / RESPONSES;
		best = us < best ? us : best;
	}
	printf("%s %.1f us\n", name, best);
	for (size_t i = 0; i < RESPONSES; i++)
		free(encoded[i]);
}

int main(void)
{
	struct saml_pair idp, sp;
	struct saml_make make;
	struct bare bare;

	saml_make_init();
	idp = saml_pair_create(2048, "idp");
	sp = saml_pair_create(2048, "sp");
	bare = bare_create(&idp, &sp);
	make = bare_message(&idp);
	measure(&bare, "plain", make);
	make.encrypt_to = &sp;
	measure(&bare, "encrypted", make);
	xmlSecKeysMngrDestroy(bare.manager);
	saml_pair_destroy(&idp);
	saml_pair_destroy(&sp);
	return 0;
}
