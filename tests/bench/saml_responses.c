/*
 * Write distinct signed SAML responses, one in base64 on each line, and what goes with them.
 *
 *	saml_responses keys FOLDER	idp.crt idp.key sp.crt sp.key (RSA-2048) into the folder
 *	saml_responses metadata FOLDER IDP-ENTITY SSO-URL [SLO-URL]
 *	saml_responses make FOLDER COUNT IDP-ENTITY SP-ENTITY ACS-URL REQUEST-ID [NOW] [FLAG…]
 *
 * FLAG: gcm, cbc (encrypt to sp.crt), response, both (what is signed; default: the assertion),
 * groups=N (20: 8.2 kB in all), first=N (number of the first; IDs and persons follow from it), people=N (take
 * turns). REQUEST-ID:
 * "-" for unsolicited ones; a name with %llu in it has the number there. NOW: seconds since 1970; "-": now.
 */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../saml_make.h"

struct paths {
	char idp_certificate[4096], idp_key[4096], sp_certificate[4096], sp_key[4096];
};

static struct paths paths_in(const char *folder)
{
	struct paths paths;

	snprintf(paths.idp_certificate, sizeof(paths.idp_certificate), "%s/idp.crt", folder);
	snprintf(paths.idp_key, sizeof(paths.idp_key), "%s/idp.key", folder);
	snprintf(paths.sp_certificate, sizeof(paths.sp_certificate), "%s/sp.crt", folder);
	snprintf(paths.sp_key, sizeof(paths.sp_key), "%s/sp.key", folder);
	return paths;
}

static int make_keys(const char *folder)
{
	const struct paths paths = paths_in(folder);
	struct saml_pair idp = saml_pair_create(2048, "idp"), sp = saml_pair_create(2048, "sp");

	umask(077);
	saml_pair_write(&idp, paths.idp_certificate, paths.idp_key);
	saml_pair_write(&sp, paths.sp_certificate, paths.sp_key);
	saml_pair_destroy(&idp);
	saml_pair_destroy(&sp);
	return 0;
}

static int make_metadata(const char *folder, const char *entity, const char *sso, const char *slo)
{
	const struct paths paths = paths_in(folder);
	struct saml_pair idp = saml_pair_read(paths.idp_key);
	struct strbuf text = STRBUF(SAML_MAKE_MAX);

	saml_make_metadata(&text, entity, (const struct saml_pair *const[]){ &idp }, 1, sso, slo);
	fputs(strbuf_text(&text), stdout);
	strbuf_finish(&text);
	saml_pair_destroy(&idp);
	return 0;
}

static void take_flag(const char *flag, const struct saml_pair *sp, struct saml_make *make)
{
	if (strcmp(flag, "gcm") == 0 || strcmp(flag, "cbc") == 0) {
		make->encrypt_to = sp;
		make->cbc = flag[0] == 'c';
	} else if (strcmp(flag, "response") == 0) {
		make->signatures = SAML_MAKE_RESPONSE;
	} else if (strcmp(flag, "both") == 0) {
		make->signatures = SAML_MAKE_RESPONSE | SAML_MAKE_ASSERTION;
	} else if (strncmp(flag, "groups=", 7) == 0) {
		make->groups = (unsigned)strtoul(flag + 7, NULL, 10);
	} else if (strncmp(flag, "people=", 7) == 0) {
		make->people = strtoull(flag + 7, NULL, 10);
	} else if (strncmp(flag, "first=", 6) == 0) {
		make->number = strtoull(flag + 6, NULL, 10);
	} else {
		fprintf(stderr, "saml_responses: unknown flag '%s'\n", flag);
		exit(2);
	}
}

/* "%llu" in the name of the request stands for the number: no format of others is used. */
static const char *request_id(const char *name, uint64_t number, char *room, size_t size)
{
	const char *place = strstr(name, "%llu");

	if (strcmp(name, "-") == 0)
		return NULL;
	if (!place)
		return name;
	snprintf(room, size, "%.*s%llu%s", (int)(place - name), name, (unsigned long long)number,
		 place + 4);
	return room;
}

static int make_responses(char **arguments, int count)
{
	const struct paths paths = paths_in(arguments[0]);
	struct saml_pair idp = saml_pair_read(paths.idp_key), sp = saml_pair_read(paths.sp_key);
	unsigned long long wanted = strtoull(arguments[1], NULL, 10);
	struct saml_make make = { .idp = &idp,
				  .idp_entity_id = arguments[2],
				  .sp_entity_id = arguments[3],
				  .acs_url = arguments[4],
				  .now_s = time(NULL),
				  .number = 1,
				  .groups = 20,
				  .signatures = SAML_MAKE_ASSERTION };

	if (count > 6 && strcmp(arguments[6], "-") != 0)
		make.now_s = strtoll(arguments[6], NULL, 10);
	for (int i = 7; i < count; i++)
		take_flag(arguments[i], &sp, &make);
	for (unsigned long long i = 0; i < wanted; i++, make.number++) {
		char request[512], name[64];
		char *line;
		make.request_id = request_id(arguments[5], make.number, request, sizeof(request));
		snprintf(name, sizeof(name), "person-%llu",
			 (unsigned long long)(make.people ? make.number % make.people
							  : make.number));
		make.name_id = name;
		line = saml_make_encoded(&make);
		puts(line);
		free(line);
	}
	saml_pair_destroy(&idp);
	saml_pair_destroy(&sp);
	return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	saml_make_init();
	if (argc == 3 && strcmp(argv[1], "keys") == 0)
		return make_keys(argv[2]);
	if ((argc == 5 || argc == 6) && strcmp(argv[1], "metadata") == 0)
		return make_metadata(argv[2], argv[3], argv[4], argc == 6 ? argv[5] : NULL);
	if (argc >= 8 && strcmp(argv[1], "make") == 0)
		return make_responses(argv + 2, argc - 2);
	fprintf(stderr, "usage: saml_responses keys FOLDER | metadata FOLDER IDP SSO [SLO] | make "
			"FOLDER COUNT IDP SP ACS REQUEST [NOW] [FLAG...]\n");
	return 2;
}
