/*
 * What a configuration names beyond itself: keys, certificates, metadata. Enters: a configuration without errors.
 * Leaves: findings, each at the place that names the file. Reads as start-up would: keys and metadata in worker
 * processes. For --check alone: a daemon that runs reports the same as alarms and goes on with what it has.
 */
#include "files.h"

#include <string.h>

#include <unistd.h>

#include <sys/stat.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/secret.h>
#include <rolebridge/base/util.h>
#include <rolebridge/http/server.h>
#include <rolebridge/source/ldap.h>
#include <rolebridge/source/saml.h>

#include "idp.h"

static void check_listeners(const struct web_settings *web, struct diagnostics *list)
{
	const struct listener_settings *listeners = web->listeners.items;

	for (size_t i = 0; i < web->listeners.count; i++) {
		const struct listener_settings *listener = &listeners[i];
		struct err err = { 0 };

		if (listener->certificate.text && listener->private_key.text &&
		    http_tls_check(listener->certificate.text, listener->private_key.text, &err) <
			    0)
			diagnostics_add(list, SEVERITY_ERROR, "invalid-key",
					listener->certificate.at, NULL, "%s", err.text);
	}
}

/* Workers without IdPs: what they say of the keys is what start-up would meet. */
static void check_keys(const struct saml_settings *saml, struct diagnostics *list)
{
	struct saml_settings alone = *saml;
	struct saml_pool *pool;
	struct err err = { 0 };

	alone.workers = 1;
	pool = saml_pool_create(&alone, NULL, 0, &err);
	if (!pool)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-key", saml->private_key.at, NULL,
				"%s", err.text);
	saml_pool_release(pool);
}

static void check_metadata(const struct configuration *config, const struct saml_source *source,
			   struct diagnostics *list)
{
	const struct idp_look look = { .settings = source,
				       .outgoing = &config->settings.web.outgoing,
				       .now_s = clock_now_s() };
	struct idp_document document;
	struct err err = { 0 };

	/* Servers are not asked: they may be away, and that is no fault of the configuration. */
	if (!source->idp.metadata_file.text)
		return;
	if (idp_load(&look, &document, &err) == 0)
		idp_document_finish(&document);
	else
		diagnostics_add(list, SEVERITY_ERROR, "invalid-metadata",
				source->idp.metadata_file.at, NULL, "%s", err.text);
}

static void warn_of_file(const struct located *path, struct diagnostics *list)
{
	struct err err = { 0 };
	struct stat status;
	int fd;

	if (!path->text)
		return;
	fd = file_open(path->text, &status, &err);
	if (fd < 0)
		diagnostics_add(list, SEVERITY_WARNING, "unreadable-file", path->at, NULL, "%s",
				err.text);
	else
		close(fd);
}

/* Warnings: without them a start goes on, and says of that directory alone why it is not read. */
static void check_directory(const struct ldap_source *directory, struct diagnostics *list)
{
	const struct ldap_bind_settings *bind = &directory->bind;
	AUTO(secret) struct secret password = { 0 };
	struct err err = { 0 };

	warn_of_file(&directory->ca, list);
	warn_of_file(&bind->certificate, list);
	warn_of_file(&bind->private_key, list);
	warn_of_file(&bind->keytab, list);
	if (bind->password_file.text &&
	    secret_read_file(bind->password_file.text, &password, &err) < 0)
		diagnostics_add(list, SEVERITY_WARNING, "unreadable-file", bind->password_file.at,
				NULL, "password file: %s", err.text);
}

void configuration_check_files(const struct configuration *config, struct diagnostics *list)
{
	bool keys = false;

	check_listeners(&config->settings.web, list);
	for (size_t i = 0; i < config->setup.source_count; i++) {
		const struct source_settings *source = config->setup.sources[i];

		if (!source->enabled)
			continue;
		if (strcmp(source->type.text, ldap_source_table.name) == 0)
			check_directory((const void *)source, list);
		if (strcmp(source->type.text, saml_source_table.name) != 0)
			continue;
		if (!keys)
			check_keys(&config->settings.saml, list);
		keys = true;
		check_metadata(config, (const void *)source, list);
	}
}
