/*
 * The door: who is not signed in chooses how. Enters: a browser, with where it wants to go. Leaves: a page with the ways
 * there are, the way itself where there is only one, or where it wanted to go when it is signed in already.
 */
#include "signin.h"

/* How many IdPs people may sign in through. */
static size_t sources_on(struct http_request *request)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view view;
	size_t count = 0;

	for (size_t i = 0; saml->source(saml->context, i, request->arena, &view); i++)
		count += view.enabled;
	return count;
}

/* NULL: there is more than one, or none. */
static const char *only_source(struct http_request *request)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view view;
	const char *only = NULL;

	for (size_t i = 0; saml->source(saml->context, i, request->arena, &view); i++) {
		if (!view.enabled)
			continue;
		if (only)
			return NULL;
		only = view.name;
	}
	return only;
}

/* A button for each IdP. */
static void show_sources(struct http_request *request, struct http_response *response,
			 const struct landing *landing)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view view;

	for (size_t i = 0; saml->source(saml->context, i, request->arena, &view); i++) {
		const struct http_pair pairs[] = { { "source", view.name },
						   { "return", landing->return_url },
						   { "nonce", landing->nonce } };
		const char *url = url_with(request->arena, "/login", pairs, ARRAY_LEN(pairs));

		if (view.enabled)
			page_link_button(response, url ? url : "/login", view.name);
	}
}

static void show_form(struct http_response *response, const struct landing *landing,
		      const struct login_form *form, const char *token)
{
	page_form_begin(response, "/login", token);
	landing_hidden(response, landing);
	page_field(response, &(struct page_field){ .name = "username",
						   .label = "User name or e-mail address",
						   .value = form->username,
						   .autocomplete = "username",
						   .focus = !form->username || !form->username[0],
						   .exact = true });
	page_field(response, &(struct page_field){ .name = "password",
						   .label = "Password",
						   .type = "password",
						   .autocomplete = "current-password",
						   .focus = form->username && form->username[0] });
	page_submit(response, "Sign in");
	page_form_end(response);
}

/* Whoever has just installed it reads this, before there is any source. */
static void show_set_up(struct http_request *request, struct http_response *response)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view view;

	page_text(response, "p", "There is no way to sign in yet.");
	if (saml->source(saml->context, 0, request->arena, &view))
		return;
	page_text(response, "p",
		  "If you run this server: make the first administrator there, and a link by which "
		  "they sign in.");
	page_text(response, "pre",
		  "rolebridgectl users create NAME --profile administrator\n"
		  "rolebridgectl login-link NAME");
	page_text(response, "p",
		  "Then connect an identity provider or a directory, or switch passwords on.");
}

int login_show(struct http_request *request, struct http_response *response,
	       const struct site *site, const struct landing *landing,
	       const struct login_form *form, struct err *err)
{
	const struct web *web = request->context;
	bool form_on = login_form_on(web, site);
	const char *token = form_on ? form_token(request, response, site, err) : NULL;
	size_t sources = sources_on(request);

	if (form_on && !token)
		return -1;
	page_begin_with(response, &(struct page){ .title = "Sign in", .problem = form->problem });
	if (form_on)
		show_form(response, landing, form, token);
	if (passwords_on(web, site) && site->options->mail.url.text)
		page_link(response, landing_path(request->arena, "/password/forgot", landing),
			  "Forgotten your password?");
	if (form_on && sources > 0)
		page_text(response, "h2", "With your organization's account");
	show_sources(request, response, landing);
	if (!form_on && sources == 0)
		show_set_up(request, response);
	page_end(response);
	return 0;
}

/* Somebody is here already: on to where they wanted to go, or to the page that their session belongs to. */
static int go_on(struct http_request *request, struct http_response *response, struct site *site,
		 const struct session_view *view, const struct landing *landing, struct err *err)
{
	const char *page = stage_page(view->stage);
	const char *url;

	if (!page)
		return landing_go(request, response, site, view, landing, err);
	url = landing_path(request->arena, page, landing);
	return url ? http_redirect(response, 303, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

/* Behind root's door people sign in by its link alone. */
static int show_door(struct http_request *request, struct http_response *response)
{
	page_begin(response, "Sign in");
	page_text(response, "p",
		  "Here people sign in by a link alone, which is good once. Make another one on "
		  "this server:");
	page_text(response, "pre", "rolebridgectl login-link --local NAME");
	page_reference(request, response);
	page_end(response);
	return 0;
}

/* again: also whoever is signed in gives their first factor, for something that needs it to be fresh. */
int login_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", "source", "nonce", "again", NULL };
	AUTO(site) struct site *site = site_take(request->context, err);
	struct landing landing;
	struct session_view view;
	const char *source;
	int found;

	if (!site || http_query_allow(request, names, err) < 0 ||
	    landing_read(request, site, http_query(request, "return"), http_query(request, "nonce"),
			 &landing, err) < 0)
		return -1;
	found = http_query(request, "again") ? 0 : site_session_any(request, site, &view, err);
	if (found < 0)
		return -1;
	if (found > 0) {
		int result = go_on(request, response, site, &view, &landing, err);

		session_view_release(&view);
		return result;
	}
	if (web_is_door(request->context))
		return show_door(request, response);
	source = http_query(request, "source");
	if (!source && !login_form_on(request->context, site))
		source = only_source(request);
	return source ? idp_begin(request, response, site, source, &landing, err)
		      : login_show(request, response, site, &landing, &(struct login_form){ 0 },
				   err);
}
