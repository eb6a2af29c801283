/* What applications tell of their things, and who is responsible for them. */
#ifndef ROLEBRIDGE_MODEL_RESOURCE_H
#define ROLEBRIDGE_MODEL_RESOURCE_H

#include <stdint.h>

#include <rolebridge/base/ids.h>

/* Bytes of an id. Applications and types are slugs. */
#define RESOURCE_ID_MAX 256
#define RESOURCE_TITLE_MAX 1024
/* Levels of a tree, the root counted. */
#define RESOURCE_DEPTH_MAX 32
/* Scopes are judged at the nearest resource of this type above, or at the root where there is none. */
#define RESOURCE_ACCOUNTS "accounts"
/* The kind that owning a resource counts as. */
#define REFERENCE_OWNER "owner"

struct resource_key {
	const char *application, *type, *id;
};

struct resource {
	int64_t row; /* 0: not stored */
	struct resource_key key;
	int64_t parent_row;		     /* 0: a root */
	const char *parent_type, *parent_id; /* ""; of the same application */
	int64_t owner;			     /* user; 0: nobody */
	struct uuid owner_uuid;
	const char *owner_name; /* user name; "" */
	const char *organization;
	const char *title;
	int64_t version, created_s, updated_s;
};

struct reference {
	int64_t row;	/* 0: not stored */
	int64_t cursor; /* in lists */
	const char *application, *kind, *id;
	const char *type; /* of a resource, where kind is "owner"; "" */
	const char *label;
	int64_t user;
	struct uuid user_uuid;
	const char *user_name;
	uint32_t user_disabled;
	int64_t version, created_s, updated_s;
};

#endif
