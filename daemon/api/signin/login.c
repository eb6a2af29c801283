/*
 * The door: who is not signed in chooses how. Enters: a browser, with where it wants to go. Leaves: a page with the ways
 * there are, the way itself where there is only one, or where it wanted to go when it is signed in already.
 */
#include "signin.h"

/* The only source there is, or the one that was named. NULL: more than one, or none. */
static const char *one_source(struct http_request *request, const char *named)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view view;
	const char *only = NULL;

	if (named)
		return named;
	for (size_t i = 0; saml->source(saml->context, i, request->arena, &view); i++) {
		if (!view.enabled)
			continue;
		if (only)
			return NULL;
		only = view.name;
	}
	return only;
}

/* A button for each IdP. Returns how many. */
static size_t show_sources(struct http_request *request, struct http_response *response,
			   const struct landing *landing)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view view;
	size_t count = 0;

	for (size_t i = 0; saml->source(saml->context, i, request->arena, &view); i++) {
		const struct http_pair pairs[] = { { "source", view.name },
						   { "return", landing->return_url },
						   { "nonce", landing->nonce } };
		const char *url = url_with(request->arena, "/login", pairs, ARRAY_LEN(pairs));

		if (!view.enabled)
			continue;
		page_link_button(response, url ? url : "/login", view.name);
		count++;
	}
	return count;
}

/* More than one IdP, and none was named: the person knows. */
static int choose_source(struct http_request *request, struct http_response *response,
			 const struct landing *landing)
{
	page_begin(response, "Sign in");
	if (show_sources(request, response, landing) == 0)
		page_text(response, "p", "There is no way to sign in yet.");
	page_end(response);
	return 0;
}

int login_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", "source", "nonce", NULL };
	AUTO(site) struct site *site = site_take(request->context, err);
	struct landing landing;
	struct session_view view;
	const char *source;
	int found;

	if (!site || http_query_allow(request, names, err) < 0 ||
	    landing_read(request, site, http_query(request, "return"), http_query(request, "nonce"),
			 &landing, err) < 0)
		return -1;
	found = site_session(request, site, &view, err);
	if (found < 0)
		return -1;
	if (found > 0) {
		int result = landing_go(request, response, site, &view, &landing, err);

		session_view_release(&view);
		return result;
	}
	source = one_source(request, http_query(request, "source"));
	return source ? idp_begin(request, response, site, source, &landing, err)
		      : choose_source(request, response, &landing);
}
