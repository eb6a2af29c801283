/* Tests of SAML parts: one IdP, one service provider, their keys in files, a pool over them. */
#ifndef ROLEBRIDGE_TESTS_SAML_SUPPORT_H
#define ROLEBRIDGE_TESTS_SAML_SUPPORT_H

#include <rolebridge/source/saml.h>

#include "../../saml_make.h"

#define IDP_ENTITY "https://idp.example/metadata"
#define IDP_SSO "https://idp.example/sso?tenant=1"
#define IDP_SLO "https://idp.example/slo"
#define SP_ENTITY "https://sp.example/saml/corp/metadata"
#define SP_ACS "https://sp.example/saml/corp/acs"
#define SP_SLO "https://sp.example/saml/corp/slo"
#define NOW_S ((int64_t)1795000000)

struct world {
	struct saml_pair idp, sp;
	struct saml_settings settings;
	struct saml_source source;
	struct saml_idp facts;
	struct saml_blob signing_key;
	struct saml_provider provider;
};

/* Two key pairs (made once for the program), files in support_folder(). */
void world_init(struct world *ret_world);
void world_finish(struct world *world);

/* A response to the request "_request", signed in the assertion, for NOW_S. */
struct saml_make world_response(const struct world *world, uint64_t number);
struct saml_question world_question(void);
struct saml_message world_message(const char *encoded);

#endif
