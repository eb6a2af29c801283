/*
 * Pages for people: few, plain, without scripts of their own making but one that posts a form. Enters: texts, never
 * trusted. Leaves: HTML. Every text is escaped here.
 */
#include "site.h"

static const char style[] =
	"body{font:1rem/1.5 system-ui,sans-serif;margin:0;background:#f4f5f7;color:#1d2330}\n"
	"main{max-width:40rem;margin:10vh auto;padding:2rem;background:#fff;border-radius:.5rem;"
	"box-shadow:0 1px 4px rgba(0,0,0,.15)}\n"
	"h1{font-size:1.3rem;margin-top:0}\n"
	"table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;"
	"padding:.25rem .75rem .25rem 0;border-bottom:1px solid #dfe2e8;overflow-wrap:anywhere}\n"
	".ok{color:#136f3a}.bad{color:#a4201c}.quiet{color:#5d6575;font-size:.9rem}\n"
	"button,.button{font:inherit;padding:.5rem 1rem;border:0;border-radius:.3rem;"
	"background:#1f4fbf;color:#fff;text-decoration:none;display:inline-block;cursor:pointer}\n"
	"@media(prefers-color-scheme:dark){body{background:#14171d;color:#e6e8ec}"
	"main{background:#1e232b}td,th{border-color:#39404c}.quiet{color:#9aa3b2}"
	".ok{color:#6fd39a}.bad{color:#ff8a80}}\n";

/* The only script: a form that is to go on by itself. */
static const char script[] = "document.forms[0].submit();\n";

int asset_style(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	response->content_type = "text/css; charset=utf-8";
	strbuf_puts(&response->body, style);
	http_response_header(response, "Cache-Control", "public, max-age=3600");
	return 0;
}

int asset_post(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	response->content_type = "text/javascript; charset=utf-8";
	strbuf_puts(&response->body, script);
	http_response_header(response, "Cache-Control", "public, max-age=3600");
	return 0;
}

void page_begin(struct http_response *response, const char *title)
{
	struct strbuf *out = &response->body;

	response->content_type = "text/html; charset=utf-8";
	strbuf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			 "<meta name=\"viewport\" content=\"width=device-width\">"
			 "<link rel=\"stylesheet\" href=\"/.rolebridge/style.css\"><title>");
	http_html_escape(out, title);
	strbuf_puts(out, "</title></head><body><main>\n");
	page_text(response, "h1", title);
}

void page_text(struct http_response *response, const char *tag, const char *text)
{
	struct strbuf *out = &response->body;

	strbuf_printf(out, "<%s>", tag);
	/* NULL: out of memory where it was made. */
	http_html_escape(out, text ? text : "");
	strbuf_printf(out, "</%s>\n", tag);
}

void page_end(struct http_response *response)
{
	strbuf_puts(&response->body, "</main></body></html>\n");
}

void page_refused(struct http_request *request, struct http_response *response, int status,
		  const char *title, const char *text)
{
	page_refused_with(request, response, status, title, text, NULL, NULL);
}

void page_refused_with(struct http_request *request, struct http_response *response, int status,
		       const char *title, const char *text, const char *url, const char *link)
{
	response->status = status;
	page_begin(response, title);
	page_text(response, "p", text);
	if (url) {
		strbuf_puts(&response->body, "<p><a class=\"button\" href=\"");
		http_html_escape(&response->body, url);
		strbuf_puts(&response->body, "\">");
		http_html_escape(&response->body, link);
		strbuf_puts(&response->body, "</a></p>\n");
	}
	strbuf_puts(&response->body, "<p class=\"quiet\">If you need help, tell your administrator "
				     "this reference: <code>");
	http_html_escape(&response->body, request->id);
	strbuf_puts(&response->body, "</code></p>\n");
	page_end(response);
}

/* ------------------------------------------------- messages through the browser -- */

static void hidden_field(struct strbuf *out, const char *name, const char *value)
{
	strbuf_puts(out, "<input type=\"hidden\" name=\"");
	http_html_escape(out, name);
	strbuf_puts(out, "\" value=\"");
	http_html_escape(out, value);
	strbuf_puts(out, "\">\n");
}

/* scheme://host[:port] of a URL, for the policy of where forms may go. */
static const char *origin_of(const char *url, struct arena *arena)
{
	const char *host = strstr(url, "://");

	return host ? arena_strndup(arena, url, (size_t)(host + 3 - url) + strcspn(host + 3, "/?#"))
		    : NULL;
}

int page_send(struct http_request *request, struct http_response *response,
	      const struct saml_outgoing *outgoing, struct err *err)
{
	struct strbuf *out = &response->body;

	if (outgoing->binding == SAML_REDIRECT)
		return http_redirect(response, 302, outgoing->url, err);
	response->form_action = origin_of(outgoing->url, request->arena);
	page_begin(response, "One moment");
	strbuf_puts(out, "<form method=\"post\" action=\"");
	http_html_escape(out, outgoing->url);
	strbuf_puts(out, "\">\n");
	hidden_field(out, outgoing->field, outgoing->value);
	if (outgoing->relay_state && outgoing->relay_state[0])
		hidden_field(out, "RelayState", outgoing->relay_state);
	strbuf_puts(out, "<button>Continue</button></form>\n"
			 "<script src=\"/.rolebridge/post.js\"></script>\n");
	page_end(response);
	return 0;
}

/*
 * As page_send, where a form of ours was posted: browsers hold a redirect after it, and all that follow, to the
 * form's policy (CSP 3, form-action), and where an IdP redirects to is not known. So the page goes on by itself.
 */
int page_send_after_form(struct http_request *request, struct http_response *response,
			 const struct saml_outgoing *outgoing, struct err *err)
{
	struct strbuf *out = &response->body;

	if (outgoing->binding != SAML_REDIRECT)
		return page_send(request, response, outgoing, err);
	response->content_type = "text/html; charset=utf-8";
	strbuf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			 "<meta http-equiv=\"refresh\" content=\"0;url=");
	http_html_escape(out, outgoing->url);
	strbuf_puts(out, "\"><title>One moment</title></head><body><p><a href=\"");
	http_html_escape(out, outgoing->url);
	strbuf_puts(out, "\">Continue</a></p></body></html>\n");
	return 0;
}

/* ------------------------------------------------------------- the start page -- */

int start_page(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct session_view view;
	int found = site ? site_session(request, site, &view, err) : -1;

	if (found < 0)
		return -1;
	if (found == 0) {
		page_begin(response, "Welcome");
		strbuf_puts(&response->body,
			    "<p><a class=\"button\" href=\"/login\">Sign in</a></p>\n");
		page_end(response);
		return 0;
	}
	page_begin(response, "You are signed in");
	page_text(response, "p",
		  view.principal->display_name[0] ? view.principal->display_name
						  : view.principal->username);
	strbuf_puts(&response->body, "<p><a class=\"button\" href=\"/logout\">Sign out</a></p>\n");
	page_end(response);
	session_view_release(&view);
	return 0;
}
