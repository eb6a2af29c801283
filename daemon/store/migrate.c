/*
 * Schema versions. Enters: an open connection. Leaves: the schema of this
 * program. Fails on a newer schema (the program was downgraded) and on a file
 * that is another program's database.
 *
 * Version n is reached by table row n - 1, in one transaction with
 * PRAGMA user_version, so that a cut leaves the version before.
 */
#include "backup.h"
#include "db.h"

static const char *const migrations[] = {
#include "sql/0001-first.sql.h"
	,
#include "sql/0002-sessions.sql.h"
	,
#include "sql/0003-appended.sql.h"
	,
#include "sql/0004-due.sql.h"
	,
#include "sql/0005-links.sql.h"
	,
#include "sql/0006-tokens.sql.h"
	,
#include "sql/0007-definitions.sql.h"
	,
#include "sql/0008-ownership.sql.h"
	,
#include "sql/0009-invites.sql.h"
	,
#include "sql/0010-events.sql.h"
	,
#include "sql/0011-personas.sql.h"
	,
#include "sql/0012-audit.sql.h"
	,
#include "sql/0013-accounts.sql.h"
	,
#include "sql/0014-organizations.sql.h"
	,
#include "sql/0015-sources.sql.h"
	,
#include "sql/0016-passwords.sql.h"
	,
#include "sql/0017-stages.sql.h"
	,
#include "sql/0018-factors.sql.h"
	,
#include "sql/0019-login-links.sql.h"
	,
#include "sql/0020-deliveries.sql.h"
	,
#include "sql/0021-restore.sql.h"
	,
#include "sql/0022-signin.sql.h"
	,
#include "sql/0023-delivery-counts.sql.h"
};

#define SCHEMA_VERSION ((int64_t)ARRAY_LEN(migrations))
/* "RlBr": says whose file this is. */
#define APPLICATION_ID INT64_C(0x526c4272)

static int read_number(struct store *store, const char *sql, int64_t *ret_value, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, sql);

	return query_number(&query, ret_value, err);
}

int store_read_version(struct store *store, int64_t *ret_version, struct err *err)
{
	int64_t application, objects;

	if (read_number(store, "PRAGMA user_version", ret_version, err) < 0 ||
	    read_number(store, "PRAGMA application_id", &application, err) < 0 ||
	    read_number(store, "SELECT count(*) FROM sqlite_schema", &objects, err) < 0)
		return -1;
	if (application != APPLICATION_ID && (application != 0 || *ret_version || objects))
		return err_refuse(err, ERR_INVALID, "store-foreign",
				  "store '%s': the database of another program", store->path);
	if (*ret_version < 0 || *ret_version > SCHEMA_VERSION)
		return err_refuse(
			err, ERR_CONFLICT, "schema-newer",
			"store '%s': schema version %lld is newer than this program's %lld",
			store->path, (long long)*ret_version, (long long)SCHEMA_VERSION);
	return 0;
}

static int execute(struct store *store, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_error(store, sqlite3_extended_errcode(store->db), err);
}

/* Inside a transaction: another process may have migrated meanwhile. */
static int migrate_step(struct store *store, int64_t wanted, bool *ret_done, struct err *err)
{
	int64_t version;
	char sql[96];

	if (store_read_version(store, &version, err) < 0)
		return -1;
	if (version < wanted) {
		snprintf(sql, sizeof(sql),
			 "PRAGMA application_id = %lld; PRAGMA user_version = %lld",
			 (long long)APPLICATION_ID, (long long)version + 1);
		if (execute(store, migrations[version], err) < 0 || execute(store, sql, err) < 0)
			return err_wrap(err, "cannot bring the schema to version %lld",
					(long long)version + 1);
		version++;
	}
	*ret_done = version >= wanted;
	return 0;
}

int64_t store_schema_version(void)
{
	return SCHEMA_VERSION;
}

int store_migrate(struct store *store, struct err *err)
{
	return store_migrate_to(store, SCHEMA_VERSION, err);
}

int store_migrate_to(struct store *store, int64_t wanted, struct err *err)
{
	int64_t version;
	bool done;

	if (store_read_version(store, &version, err) < 0)
		return -1;
	done = version >= wanted;
	while (!done) {
		if (execute(store, "BEGIN IMMEDIATE", err) < 0)
			return -1;
		if (migrate_step(store, wanted, &done, err) < 0 ||
		    execute(store, "COMMIT", err) < 0) {
			sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
			return -1;
		}
	}
	return 0;
}

int store_check_version(struct store *store, struct err *err)
{
	int64_t version;

	if (store_read_version(store, &version, err) < 0)
		return -1;
	if (version != SCHEMA_VERSION)
		return err_refuse(err, ERR_UNAVAILABLE, "store-not-ready",
				  "store '%s': not set up yet (schema version %lld of %lld)",
				  store->path, (long long)version, (long long)SCHEMA_VERSION);
	return 0;
}
