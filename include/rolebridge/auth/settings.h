/*
 * Options of the web side: public_url, listeners, trusted_proxies, sessions, applications, outgoing.
 * They stand at the top level, beside the catalogue's: web_table is a base for the root table
 * and has the catalogue's table as its own base, so that one chain gives the rows of both.
 */
#ifndef ROLEBRIDGE_AUTH_SETTINGS_H
#define ROLEBRIDGE_AUTH_SETTINGS_H

#include <rolebridge/client/mail.h>
#include <rolebridge/client/sms.h>
#include <rolebridge/rules/settings.h>

/* listeners[]: where the web side is served. */
struct listener_settings {
	struct position at;
	/* "127.0.0.1:8080", "[::]:443", "unix:/run/rolebridge/web.sock", "systemd:NAME" (inherited). */
	struct located address;
	struct located certificate, private_key; /* both or none */
	struct located group;			 /* of a unix socket; default: own user only */
	int64_t threads;			 /* 0: one per core, at least 2 */
	int64_t connections_max;		 /* 4096 */
};

struct sessions_settings {
	struct position at;
	int64_t idle_s;	    /* 1 h */
	int64_t absolute_s; /* 12 h */
};

/* What an application asks of a person: each list any of it, all lists that are given. */
struct require_settings {
	struct position at;
	struct located_list profiles, roles, personas, groups, permissions;
	bool second_factor;
	int64_t second_factor_max_age_s; /* 0: any age */
};

enum header_encoding { HEADER_UTF8, HEADER_RFC8187 };

/* applications[]: what stands behind the proxy. */
struct application_settings {
	struct position at;
	struct located name; /* slug */
	/*
	 * "https://app.example.com": the whole host; "https://app.example.com/admin/": what begins so (and
	 * /admin); "https://app.example.com/status": this path alone.
	 */
	struct located_list urls;
	struct require_settings require;
	bool keep_on_loss; /* false: the session's token for this host ends when what is required is lost */
	int headers; /* enum header_encoding */
};

struct outgoing_settings {
	struct position at;
	struct located_list allowed_networks; /* CIDR: private networks that may be asked */
	int64_t timeout_s;		      /* 10 */
};

struct tokens_settings {
	struct position at;
	int64_t lifetime_s;	/* 90 d: when nothing is said */
	int64_t max_lifetime_s; /* 366 d */
};

struct invites_settings {
	struct position at;
	int64_t lifetime_s; /* 14 d */
	/*
	 * Domains whose addresses an invite proves: whoever came by an invite to such an address is linked to the
	 * identity of a source that lists the domain, too.
	 */
	struct located_list authoritative_domains;
};

/* passwords: who has no IdP signs in with one kept here. */
struct passwords_settings {
	struct position at;
	bool enabled;	    /* false: nobody signs in with one, nobody is sent a link to set one */
	int64_t min_length; /* 12 characters */
	struct located common_file; /* more words that are too common; NULL: none */
	int64_t memory;		    /* of one hash, bytes */
	int64_t operations;	    /* passes over it */
	int64_t workers;	    /* hashes at once; 0: half of the cores, at least 1 */
	int64_t waiting;	    /* requests that may wait for a hash */
};

/* throttle: guesses at passwords and codes. */
struct throttle_settings {
	struct position at;
	int64_t attempts;	  /* wrong ones at an account before the first delay */
	int64_t delay_s;	  /* the first delay; each is twice the one before */
	int64_t delay_max_s;	  /* the longest */
	int64_t address_attempts; /* wrong ones from an address before the first delay */
};

struct web_settings {
	struct position at;
	struct located public_url; /* "https://login.example.com"; needed with listeners */
	bool behind_tls_proxy;	   /* http in public_url is fine beyond loopback */
	struct located_list
		trusted_proxies;      /* CIDR: whose X-Forwarded-* counts; unix sockets always do */
	struct struct_list listeners; /* struct listener_settings */
	struct sessions_settings sessions;
	struct struct_list applications; /* struct application_settings */
	struct outgoing_settings outgoing;
	struct mail_settings mail;
	struct sms_settings sms;
	struct invites_settings invites;
	struct tokens_settings tokens;
	struct passwords_settings passwords;
	struct throttle_settings throttle;
	struct located sealing_key; /* file, or credential of the service; NULL: the daemon's own */
};

/*
 * What web_table fills. The root's struct begins with this, or with the same two members in this order
 * (then assert offsetof(…, web) == offsetof(struct web_root, web)). web.at stays empty here.
 */
struct web_root {
	struct catalogue_settings catalogue;
	struct web_settings web;
};
extern const struct option_table web_table;
extern const struct option_table passwords_table, throttle_table;

/* What rows cannot say: unique names and urls, https, well-formed values. Known profiles are checked by main. */
void web_settings_check(const struct web_settings *settings, struct diagnostics *list);

#endif
