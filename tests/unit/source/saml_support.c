#include "saml_support.h"

#include <sys/stat.h>

#include "support.h"

static const char *const request_ids[] = { "_request" };

static const struct wanted_attribute attributes[] = {
	{ "department", "ou" },
	{ "displayName", "displayName" },
	{ "mail", "mail" },
	{ "uid", "uid" },
};

static const struct wanted_group groups[] = {
	{ 7, "cn=group-0003,ou=services,ou=groups,dc=acme,dc=example" },
};

static const struct saml_endpoint sso[] = { { SAML_REDIRECT, IDP_SSO, "" },
					    { SAML_POST, IDP_SSO, "" } };
static const struct saml_endpoint slo[] = { { SAML_REDIRECT, IDP_SLO, IDP_SLO "/answer" } };

void world_init(struct world *world)
{
	const char *certificate, *key;

	saml_make_init();
	*world = (struct world){ .idp = saml_pair_create(2048, "idp"),
				 .sp = saml_pair_create(2048, "sp") };
	certificate = support_write("sp.crt", "", 0);
	key = support_write("sp.key", "", 0);
	saml_pair_write(&world->sp, certificate, key);
	saml_make_check(chmod(key, 0600) == 0, "chmod");
	world->settings.certificate = LOCATED(certificate);
	world->settings.private_key = LOCATED(key);
	world->settings.skew_s = 180;
	world->settings.workers = 1;
	world->settings.verification = SAML_VERIFY_AGREE;
	world->source.common.name = LOCATED("corp");
	world->source.key = LOCATED("name-id");
	world->source.sign_requests = true;
	world->source.second_factor.max_age_s = 43200;
	world->signing_key = (struct saml_blob){ world->idp.der, world->idp.der_size };
	world->facts = (struct saml_idp){ .entity_id = IDP_ENTITY,
					  .signing_keys = &world->signing_key,
					  .signing_key_count = 1,
					  .sso = sso,
					  .sso_count = ARRAY_LEN(sso),
					  .slo = slo,
					  .slo_count = ARRAY_LEN(slo) };
	world->provider = (struct saml_provider){ .settings = &world->source,
						  .idp = &world->facts,
						  .sp_entity_id = SP_ENTITY,
						  .acs_url = SP_ACS,
						  .slo_url = SP_SLO,
						  .attributes = attributes,
						  .attribute_count = ARRAY_LEN(attributes),
						  .groups = groups,
						  .group_count = ARRAY_LEN(groups) };
}

void world_finish(struct world *world)
{
	saml_pair_destroy(&world->idp);
	saml_pair_destroy(&world->sp);
	support_remove();
}

struct saml_make world_response(const struct world *world, uint64_t number)
{
	return (struct saml_make){ .idp = &world->idp,
				   .idp_entity_id = IDP_ENTITY,
				   .sp_entity_id = SP_ENTITY,
				   .acs_url = SP_ACS,
				   .request_id = "_request",
				   .name_id = "person",
				   .now_s = NOW_S,
				   .number = number,
				   .groups = 20,
				   .signatures = SAML_MAKE_ASSERTION };
}

struct saml_question world_question(void)
{
	return (struct saml_question){ .now_s = NOW_S + 2,
				       .request_ids = request_ids,
				       .request_count = ARRAY_LEN(request_ids) };
}

struct saml_message world_message(const char *encoded)
{
	return (struct saml_message){ .binding = SAML_POST,
				      .encoded = encoded,
				      .encoded_size = strlen(encoded) };
}
