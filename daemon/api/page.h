/*
 * Pages for people: plain HTML in Bootstrap's classes, whole without scripts. Every text is escaped here, so that
 * handlers write no markup of their own.
 *
 *	page_begin → page_text, page_notice, forms, lists … → page_end
 *
 * A form:
 *
 *	page_begin_with(response, &(struct page){ .title = "Password", .problem = problem });
 *	page_form_begin(response, "/security/password", csrf);
 *	page_field(response, &(struct page_field){ .name = "password", .label = "New password",
 *			.type = "password", .autocomplete = "new-password", .error = what_is_wrong });
 *	page_submit(response, "Change password");
 *	page_form_end(response);
 *	page_end(response);
 *
 * Texts are borrowed for the call; NULL where one was made without memory is written as nothing. Nothing here
 * fails but the response's body, which the server sees.
 */
#ifndef API_PAGE_H
#define API_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/http/request.h>

/* ------------------------------------------------------------------- the page -- */

struct page {
	const char *title;
	/* What was wrong with the form that was sent: shown first, spoken at once, and named in the title. NULL: nothing. */
	const char *problem;
	/* What has just been done well: shown first. NULL: nothing. */
	const char *done;
	/* Who is signed in, with the ways to their security page and to sign out; NULL: nobody, or not yet. */
	const char *user;
	bool wide;	    /* tables and lists */
	const char *script; /* an asset's name ("webauthn.js"); NULL: none */
};

void page_begin_with(struct http_response *response, const struct page *page);
void page_begin(struct http_response *response, const char *title);
void page_end(struct http_response *response);

/* One element with this text: "p", "h2", "h3", "code", "pre" … */
void page_text(struct http_response *response, const char *tag, const char *text);
/* A paragraph that matters less. */
void page_small(struct http_response *response, const char *text);

enum page_tone { PAGE_INFO, PAGE_GOOD, PAGE_WARNING, PAGE_BAD };
/* A box that says what is to be known first. */
void page_notice(struct http_response *response, enum page_tone tone, const char *text);

/* A way on: the page's main one, in a button's looks; and a plain one. */
void page_link_button(struct http_response *response, const char *url, const char *text);
void page_link(struct http_response *response, const char *url, const char *text);

/* A part of a page with a heading (h2) of its own; sections do not nest. */
void page_section_begin(struct http_response *response, const char *heading);
void page_section_end(struct http_response *response);

/* What is to be read and typed elsewhere: a code, a secret, recovery codes (one a call). */
void page_code(struct http_response *response, const char *label, const char *code);
/*
 * An image of ours: SVG text, embedded as a data: URL, so that it can run no script. alt: what it says.
 */
void page_svg(struct http_response *response, const char *svg, const char *alt);

/* -------------------------------------------------------------------- lists -- */

/* Names and values: page_facts_begin, page_fact …, page_facts_end. */
void page_facts_begin(struct http_response *response);
void page_fact(struct http_response *response, const char *name, const char *value);
void page_facts_end(struct http_response *response);

/*
 * What belongs to somebody, one below the other: items with a name, a line below it, and forms or links until
 * the next item. detail NULL: none. page_list_begin, {page_item_begin … page_item_end}…, page_list_end.
 */
void page_list_begin(struct http_response *response, const char *label);
void page_item_begin(struct http_response *response, const char *name, const char *detail);
void page_item_end(struct http_response *response);
void page_list_end(struct http_response *response);

/* What is alike, in columns with names. A line break in a cell stays one. NULL: an empty cell. */
void page_table_begin(struct http_response *response, const char *const *columns, size_t count);
/* tone: "ok", "bad", "quiet" of the first cell, which says it in words, too; NULL: none. */
void page_table_row(struct http_response *response, const char *tone, const char *const *cells,
		    size_t count);
void page_table_end(struct http_response *response);

/* -------------------------------------------------------------------- forms -- */

/* POST. action NULL: the page's own address. csrf NULL: none (signin/signin.h: form_token, for who is not signed in). */
void page_form_begin(struct http_response *response, const char *action, const char *csrf);
void page_form_end(struct http_response *response);

void page_hidden(struct http_response *response, const char *name, const char *value);

struct page_field {
	const char *name, *label;
	const char *id;	   /* where a name stands twice on a page; NULL: the name */
	const char *type;  /* "text" (NULL), "password", "email", "tel" … */
	const char *value; /* never of a password; NULL: empty */
	const char *
		autocomplete; /* "username", "current-password", "new-password", "one-time-code" … */
	const char *inputmode; /* "numeric" …; NULL: as the type says */
	const char *hint;      /* what is asked for; NULL: none */
	const char *
		error; /* what is wrong with it; NULL: nothing. The first field with one has the focus. */
	size_t min, max; /* characters; 0: not said */
	bool optional;
	bool focus; /* where the page begins, when nothing is wrong */
	bool code;  /* digits or letters to be copied: wide letters, no correction */
	bool exact; /* of an account: no correction either */
};
void page_field(struct http_response *response, const struct page_field *field);

/* Of a form with a new password alone: whose it is, for password managers; nobody sees it. */
void page_username(struct http_response *response, const char *username);

/* A box to tick. */
void page_check(struct http_response *response, const char *name, const char *value,
		const char *label, bool checked);

/* One of several, with the question they answer. */
struct page_choice {
	const char *value, *label;
	const char *hint; /* NULL: none */
};
void page_choices(struct http_response *response, const char *name, const char *question,
		  const struct page_choice *choices, size_t count, const char *chosen);

/* The form's button. */
void page_submit(struct http_response *response, const char *label);
enum page_button { PAGE_BUTTON_MAIN, PAGE_BUTTON_OTHER, PAGE_BUTTON_DANGER };
/*
 * One of several. name NULL: it sends nothing of its own. what: said with the label to those who do not see where it
 * stands ("Remove" "Phone"); NULL: the label says it all.
 */
void page_button(struct http_response *response, enum page_button kind, const char *label,
		 const char *what, const char *name, const char *value);
/* A form of one button. */
void page_button_form(struct http_response *response, const char *action, const char *csrf,
		      enum page_button kind, const char *label, const char *what);

/*
 * A page that goes on to url by itself, without a script. After a form of ours browsers hold a redirect, and all that
 * follow, to the form's policy (CSP 3, form-action), and where a way leads to is not always known.
 */
void page_go_on(struct http_response *response, const char *url);

/* ------------------------------------------------------------------ refusals -- */

/* A page for a person who is refused: title, text, what to tell the administrator. */
void page_refused(struct http_request *request, struct http_response *response, int status,
		  const char *title, const char *text);
/* The same with a way on: where it leads, and its name. */
void page_refused_with(struct http_request *request, struct http_response *response, int status,
		       const char *title, const char *text, const char *url, const char *link);
/* "If you need help …": the reference that finds this request in the log. */
void page_reference(struct http_request *request, struct http_response *response);

/* -------------------------------------------------------------------- assets -- */

/*
 * Files below daemon/api/assets, and Bootstrap's style sheet, are part of the program; each is served under its name with the
 * hash of its content in it, for good. Appends "/.rolebridge/NAME-HASH.EXT"; an unknown name fails the response.
 */
void page_asset_url(struct http_response *response, const char *name);

#endif
