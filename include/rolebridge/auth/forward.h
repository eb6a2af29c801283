/*
 * Applications behind a proxy: which one does a URL belong to, and may this
 * person use it? Pure over an immutable table made from the configuration.
 */
#ifndef ROLEBRIDGE_AUTH_FORWARD_H
#define ROLEBRIDGE_AUTH_FORWARD_H

#include <rolebridge/auth/sessions.h>
#include <rolebridge/rules/settings.h>

struct applications;

/* catalogue: permissions of profiles and roles, for require.permissions. Borrows the settings. */
struct applications *applications_create(const struct web_settings *settings,
					 const struct catalogue_settings *catalogue,
					 struct err *err);
void applications_destroy(struct applications *applications);

struct application;
/*
 * The longest path prefix of this origin wins; scheme, host and path (to its '?') are normalised here.
 * NULL, which is to be refused: none; or the path is no path; or servers may read it as one of another
 * application (dot segments, "..;", encoded slashes, letter case). Where all of an origin is one
 * application's, any path that is one will do.
 */
const struct application *applications_find(const struct applications *applications,
					    const char *scheme, const char *host, const char *path);
const char *application_name(const struct application *application);
const struct application_settings *application_settings(const struct application *application);
/* The host it was found at, as it stands in tokens: lower case, default port left out. */
const char *application_host(const struct application *application);
/* Is this URL within some application, or the daemon's own (public_url)? Else nobody is sent there. */
bool applications_allow_return(const struct applications *applications, const char *url);

enum forward_verdict {
	FORWARD_ALLOWED,
	FORWARD_DENIED,	       /* known, but lacks what the application requires */
	FORWARD_SECOND_FACTOR, /* would be allowed with a (fresh) second factor */
};
/* *ret_lacking: what is missing, for the log: "roles", "second-factor" …; static. */
enum forward_verdict application_judge(const struct application *application,
				       const struct session_view *view, int64_t now_s,
				       const char **ret_lacking);

/* One header value: control characters and CR/LF dropped, encoded as the application wants. */
int forward_header_value(const char *text, enum header_encoding encoding, struct strbuf *out,
			 struct err *err);

#endif
