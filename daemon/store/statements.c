/*
 * The texts of all fixed statements: a flat table. Parameters are bound in their order of number; in
 * that of the columns c0, c1, … where rows wait to be inserted together (batch.h).
 */
#include "statements.h"

#include <stddef.h>

#include <rolebridge/base/util.h>

#define SESSION_COLUMNS \
	"s.id, s.uuid, s.user, s.source, s.name_id, s.name_id_format, s.session_index, " \
	"s.address, s.agent, s.created_s, s.seen_s, s.until_s, s.second_factor_s, s.stage, " \
	"s.factor, s.full_until_s, s.signed_in_s, s.by_link, s.device_by, s.idp_asked"
#define SESSION_FILTER \
	"id > ?5 AND (?2 IS NULL OR source = ?2) AND (?4 IS NULL OR session_index = ?4)"
#define SIGN_IN_AGAIN \
	"ON CONFLICT DO UPDATE SET n = n + excluded.n, last_s = max(last_s, excluded.last_s)"
#define PLAN_COLUMNS \
	"row, id, state, source, actor, created_s, finished_s, batches, batches_done, summary, " \
	"holds"

const char *const statement_texts[STATEMENTS] = {
	[STATEMENT_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[STATEMENT_BEGIN_READ] = "BEGIN",
	/* BEGIN alone takes no snapshot; the first read does. */
	[STATEMENT_PIN] = "SELECT count(*) FROM (SELECT 1 FROM counter LIMIT 1)",
	[STATEMENT_COMMIT] = "COMMIT",
	[STATEMENT_ROLLBACK] = "ROLLBACK",
	[STATEMENT_SAVEPOINT] = "SAVEPOINT request",
	[STATEMENT_RELEASE] = "RELEASE request",
	[STATEMENT_ROLLBACK_TO] = "ROLLBACK TO request",

	[STATEMENT_ORGANIZATION_FIND] = "SELECT id FROM organization WHERE name = ?1",
	[STATEMENT_SOURCE_FIND] = "SELECT id FROM source WHERE name = ?1",
	[STATEMENT_NAME_FIND] = "SELECT id FROM name WHERE text = ?1",
	[STATEMENT_ORGANIZATION_TEXT] = "SELECT name FROM organization WHERE id = ?1",
	[STATEMENT_SOURCE_TEXT] = "SELECT name FROM source WHERE id = ?1",
	[STATEMENT_NAME_TEXT] = "SELECT text FROM name WHERE id = ?1",
	[STATEMENT_ORGANIZATION_ADD] = "INSERT INTO organization (name) VALUES (?1)",
	[STATEMENT_SOURCE_ADD] = "INSERT INTO source (name) VALUES (?1)",
	[STATEMENT_NAME_ADD] = "INSERT INTO name (text) VALUES (?1)",

	[STATEMENT_SOURCE_GET] =
		"SELECT last_read_s, last_complete_s, entries, last_problem, server "
		"FROM source WHERE name = ?1",
	[STATEMENT_SOURCE_SET] =
		"UPDATE source SET last_read_s = ?2, last_complete_s = ?3, entries = ?4, "
		"last_problem = ?5, server = ?6 WHERE name = ?1",

	[STATEMENT_USER_INSERT] =
		"INSERT OR FAIL INTO user (uuid, organization, username, email, display_name, "
		"display_folded, profile, disabled, is_protected, version, created_s, updated_s, "
		"id) SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12 "
		"FROM waiting_user",
	[STATEMENT_UUID_OWNER] = "SELECT id FROM user WHERE uuid = ?1",
	[STATEMENT_USER_UPDATE] =
		"UPDATE user SET uuid = ?1, organization = ?2, username = ?3, email = ?4, "
		"display_name = ?5, display_folded = ?6, profile = ?7, disabled = ?8, "
		"is_protected = ?9, version = ?10, created_s = ?11, updated_s = ?12 "
		"WHERE id = ?13 AND version = ?10 - 1",
	[STATEMENT_USER_BY_ID] = "SELECT " USER_COLUMNS " FROM user u WHERE id = ?1",
	[STATEMENT_USER_BY_UUID] = "SELECT " USER_COLUMNS " FROM user u WHERE uuid = ?1",
	[STATEMENT_LOGIN_OWNER] = "SELECT user FROM login WHERE text = ?1 AND kind = ?2",
	[STATEMENT_LOGIN_FILL] = "INSERT INTO login (text, kind, user) VALUES (?1, ?2, ?3) "
				 "ON CONFLICT DO NOTHING",
	[STATEMENT_LOGINS_FILL] = "INSERT INTO login (text, kind, user) SELECT c0, c1, c2 "
				  "FROM waiting_login WHERE true ON CONFLICT DO NOTHING",
	[STATEMENT_HAS_USERNAME] = "SELECT id FROM user WHERE id = ?1 AND username = ?2",
	[STATEMENT_HAS_EMAIL] =
		"SELECT id FROM user WHERE id = ?1 AND email = ?2 AND (disabled & 32) = 0",
	/* Addresses of tombstones too: whoever asks compares. */
	[STATEMENT_HAS_UUID] = "SELECT id FROM user WHERE id = ?1 AND uuid = ?2",
	[STATEMENT_LATE_NAMES] =
		"SELECT id, username, email, uuid, disabled & 32 FROM user NOT INDEXED "
		"WHERE id > ?1 AND id <= ?2",
	[STATEMENT_LATE_NAME] =
		"SELECT username, email, disabled & 32 FROM user NOT INDEXED WHERE id = ?1",
	[STATEMENT_LATE_KEYS] = "SELECT id, source, key FROM identity WHERE id >= ?1 * 65536 + "
				"65536 AND id < ?2 * 65536 + 65536",
	[STATEMENT_LATE_KEY] = "SELECT source, key FROM identity WHERE id = ?1",
	/* How many names begin with a prefix, each index asked for at most ?3. */
	[STATEMENT_USER_PREFIX_COUNT] =
		"SELECT (SELECT count(*) FROM (SELECT 1 FROM login WHERE text >= ?1 AND text < ?2 "
		"LIMIT ?3)) + (SELECT count(*) FROM (SELECT 1 FROM user INDEXED BY user_display "
		"WHERE display_folded >= ?1 AND display_folded < ?2 AND indexed = 1 LIMIT ?3)) + "
		"(SELECT count(*) FROM (SELECT 1 FROM user NOT INDEXED WHERE id > " INDEXED_USER
		" AND display_folded >= ?1 AND display_folded < ?2 LIMIT ?3)) + "
		"(SELECT count(*) FROM (SELECT 1 FROM user NOT INDEXED WHERE id > " NAMED_USER
		" AND ((username >= ?1 AND username < ?2) OR (email >= ?1 AND email < ?2)) "
		"LIMIT ?3))",
	[STATEMENT_USERS_ACTIVE] =
		"SELECT count(*) FROM user INDEXED BY user_active WHERE " USER_IS_ACTIVE,
	[STATEMENT_USERS_ACTIVE_IN] = "SELECT count(*) FROM user INDEXED BY user_active WHERE "
				      "organization = ?1 AND " USER_IS_ACTIVE,
	/* Tombstones are no people. */
	[STATEMENT_USERS_INACTIVE] = "SELECT count(*) FROM user INDEXED BY user_inactive WHERE "
				     "(disabled & 32) = 0 AND " USER_IS_INACTIVE,
	[STATEMENT_USERS_INACTIVE_IN] =
		"SELECT count(*) FROM user INDEXED BY user_inactive WHERE organization = ?1 AND "
		"(disabled & 32) = 0 AND " USER_IS_INACTIVE,
	[STATEMENT_USERS_WITH_PROFILE] =
		"SELECT count(*) FROM user INDEXED BY user_active WHERE organization = ?1 AND "
		"profile = ?2 AND id <> ?3 AND " USER_IS_ACTIVE,
	[STATEMENT_USERS_OF_SOURCE] =
		"SELECT count(DISTINCT id >> 16) FROM identity WHERE source = ?1 AND missing_s = 0 "
		"AND id >> 16 NOT IN (SELECT id FROM user INDEXED BY user_inactive "
		"WHERE " USER_IS_INACTIVE ")",

	[STATEMENT_HORIZON] =
		"SELECT " INDEXED_USER ", " NAMED_USER ", (SELECT coalesce(max(id), 0) FROM user), "
		"EXISTS (SELECT 1 FROM login), EXISTS (SELECT 1 FROM identity_key)",
	/* Another one: another connection wrote meanwhile. */
	[STATEMENT_DATA_VERSION] = "PRAGMA data_version",
	[STATEMENT_INDEXED_USER_SET] = "UPDATE counter SET value = ?1 WHERE name = 'indexed-user'",
	[STATEMENT_NAMED_USER_SET] = "UPDATE counter SET value = ?1 WHERE name = 'named-user'",
	[STATEMENT_INDEX_USERS] = "UPDATE user SET indexed = 1 WHERE id > ?1 AND id <= ?2",

	[STATEMENT_KEY_OWNER] = "SELECT id FROM identity_key WHERE source = ?1 AND key = ?2",
	[STATEMENT_KEY_FILL] = "INSERT INTO identity_key (source, key, id) VALUES (?1, ?2, ?3) "
			       "ON CONFLICT DO NOTHING",
	[STATEMENT_KEYS_FILL] = "INSERT INTO identity_key (source, key, id) SELECT c0, c1, c2 "
				"FROM waiting_key WHERE true ON CONFLICT DO NOTHING",
	[STATEMENT_KEY_SET] = "INSERT INTO identity_key (source, key, id) VALUES (?1, ?2, ?3) "
			      "ON CONFLICT DO UPDATE SET id = excluded.id",
	[STATEMENT_KEY_DROP] = "DELETE FROM identity_key WHERE source = ?1 AND key = ?2",
	[STATEMENT_HAS_KEY] =
		"SELECT id FROM identity WHERE id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535 AND "
		"source = ?2 AND key = ?3",
	[STATEMENT_IDENTITY_FIRST] =
		"INSERT OR FAIL INTO identity (id, source, key, digest, read_s, missing_s, "
		"missing_runs) SELECT c0, c1, c2, c3, c4, 0, 0 FROM waiting_identity",
	[STATEMENT_IDENTITY_ADD] =
		"INSERT INTO identity (id, source, key, digest, read_s, missing_s, missing_runs) "
		"VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)",
	[STATEMENT_IDENTITY_SET] = "UPDATE identity SET digest = ?2, read_s = ?3, missing_s = 0, "
				   "missing_runs = 0 WHERE id = ?1",
	[STATEMENT_IDENTITY_GET] =
		"SELECT i.id, i.source, i.key, r.record, i.read_s, i.missing_s, i.missing_runs "
		"FROM identity i JOIN identity_record r ON r.id = i.id WHERE i.id = ?1",
	[STATEMENT_IDENTITY_MISSING] =
		"UPDATE identity SET missing_s = ?2, missing_runs = ?3 WHERE id = ?1",
	[STATEMENT_IDENTITY_CONFIRM] = "UPDATE identity SET read_s = ?2 WHERE id = ?1",
	[STATEMENT_IDENTITY_DELETE] = "DELETE FROM identity WHERE id = ?1",
	[STATEMENT_IDENTITIES_OF] =
		"SELECT i.id, i.source, i.key, r.record, i.read_s, i.missing_s, i.missing_runs "
		"FROM identity i JOIN identity_record r ON r.id = i.id WHERE i.id BETWEEN "
		"?1 * 65536 AND ?1 * 65536 + 65535 ORDER BY i.id",
	[STATEMENT_IDENTITY_EACH] = "SELECT key, digest, id >> 16, missing_s, missing_runs "
				    "FROM identity WHERE source = ?1",
	[STATEMENT_IDENTITY_LAST] = "SELECT max(id) FROM identity "
				    "WHERE id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535",
	[STATEMENT_RECORD_FIRST] = "INSERT OR FAIL INTO identity_record (id, record) "
				   "SELECT c0, c1 FROM waiting_record",
	[STATEMENT_RECORD_ADD] = "INSERT INTO identity_record (id, record) VALUES (?1, ?2)",
	[STATEMENT_RECORD_SET] = "UPDATE identity_record SET record = ?2 WHERE id = ?1",
	[STATEMENT_RECORD_DELETE] = "DELETE FROM identity_record WHERE id = ?1",

	[STATEMENT_GRANTS_OF] = "SELECT user, grants FROM user_grant WHERE user = ?1",
	[STATEMENT_GRANTS_BETWEEN] =
		"SELECT user, grants FROM user_grant WHERE user > ?1 AND user <= ?2",
	[STATEMENT_GRANTS_ADD] =
		"INSERT OR FAIL INTO user_grant (user, grants) SELECT c0, c1 FROM waiting_grants",
	[STATEMENT_GRANTS_SET] = "UPDATE user_grant SET grants = ?2 WHERE user = ?1",
	[STATEMENT_HOLDER_ADD] = "INSERT INTO grant_holder (kind, name, user) VALUES (?1, ?2, ?3) "
				 "ON CONFLICT DO NOTHING",
	[STATEMENT_HOLDERS_FILL] =
		"INSERT INTO grant_holder (kind, name, user) SELECT c0, c1, c2 FROM waiting_holder "
		"WHERE true ON CONFLICT DO NOTHING",
	[STATEMENT_HOLDER_DROP] =
		"DELETE FROM grant_holder WHERE kind = ?1 AND name = ?2 AND user = ?3",
	[STATEMENT_EXPIRY_ADD] = "INSERT INTO grant_expiry (expires_s, user) VALUES (?1, ?2) "
				 "ON CONFLICT DO NOTHING",
	[STATEMENT_EXPIRY_DROP] = "DELETE FROM grant_expiry WHERE expires_s = ?1 AND user = ?2",
	/* ?3: how a grant of it begins, in the text of grant.c. */
	[STATEMENT_GRANT_HOLDERS] =
		"SELECT count(*) FROM (SELECT user FROM grant_holder WHERE kind = ?1 AND "
		"name = ?2 UNION ALL SELECT user FROM user_grant WHERE user > " INDEXED_USER
		" AND instr(grants, ?3) > 0) WHERE user NOT IN (SELECT id FROM user "
		"INDEXED BY user_inactive WHERE " USER_IS_INACTIVE ")",
	/* Those of one organization among them, ?4. */
	[STATEMENT_GRANT_HOLDERS_OF] =
		"SELECT count(*) FROM (SELECT user AS holder FROM grant_holder WHERE kind = ?1 AND "
		"name = ?2 UNION ALL SELECT user FROM user_grant WHERE user > " INDEXED_USER
		" AND instr(grants, ?3) > 0) CROSS JOIN user ON user.id = holder WHERE "
		"organization = ?4 AND " USER_IS_ACTIVE,
	[STATEMENT_GRANT_BOTH] =
		"SELECT 1 FROM grant_holder AS a CROSS JOIN grant_holder AS b ON b.kind = ?1 AND "
		"b.name = ?3 AND b.user = a.user WHERE a.kind = ?1 AND a.name = ?2 UNION ALL SELECT 1 "
		"FROM user_grant WHERE user > " INDEXED_USER
		" AND instr(grants, ?4) > 0 AND instr(grants, ?5) > 0 LIMIT 1",
	/*
	 * No index by rule: it would cost each grant an insert, and timers ask in pages, by id. ?1: what
	 * stands in the text of grant.c when an origin is the rule, and may elsewhere.
	 */
	[STATEMENT_USERS_WITH_RULE] = "SELECT user, grants FROM user_grant WHERE user > ?2 AND "
				      "instr(grants, ?1) > 0 ORDER BY user",
	[STATEMENT_USERS_EXPIRING] = "SELECT DISTINCT user FROM grant_expiry WHERE "
				     "expires_s <= ?1 AND user > ?2 ORDER BY user LIMIT ?3",
	[STATEMENT_NEXT_EXPIRY] = "SELECT expires_s FROM grant_expiry ORDER BY expires_s LIMIT 1",

	[STATEMENT_GROUP_LIST] = "SELECT id, name, found, vanished, released, members, vanished_s "
				 "FROM group_registry ORDER BY id",
	[STATEMENT_GROUP_PUT] =
		"INSERT INTO group_registry (id, name, found, vanished, released, members, "
		"vanished_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET "
		"name = excluded.name, found = excluded.found, vanished = excluded.vanished, "
		"released = excluded.released, members = excluded.members, "
		"vanished_s = excluded.vanished_s",
	[STATEMENT_GROUP_REMOVE] = "DELETE FROM group_registry WHERE id = ?1",
	[STATEMENT_GROUP_NEXT_ID] = "SELECT value FROM counter WHERE name = 'next-group'",
	[STATEMENT_GROUP_NEXT_ID_RAISE] =
		"UPDATE counter SET value = max(value, ?1) WHERE name = 'next-group'",

	[STATEMENT_PLAN_CREATE] =
		"INSERT INTO plan (state, source, actor, created_s) VALUES (1, ?1, ?2, ?3)",
	[STATEMENT_PLAN_COUNT_BATCH] =
		"UPDATE plan SET batches = batches + 1 WHERE row = ?1 AND batches = ?2",
	[STATEMENT_PLAN_ADD_BATCH] = "INSERT INTO plan_batch (plan, seq, data) VALUES (?1, ?2, ?3)",
	[STATEMENT_PLAN_GET_BATCH] = "SELECT data FROM plan_batch WHERE plan = ?1 AND seq = ?2",
	[STATEMENT_PLAN_BATCH_DONE] = "UPDATE plan SET batches_done = batches_done + 1 "
				      "WHERE row = ?1 AND batches_done = ?2 AND batches > ?2",
	[STATEMENT_PLAN_DROP_BATCH] = "DELETE FROM plan_batch WHERE plan = ?1 AND seq = ?2",
	[STATEMENT_PLAN_DROP_BATCHES] = "DELETE FROM plan_batch WHERE plan = ?1",
	[STATEMENT_PLAN_UPDATE] =
		"UPDATE plan SET id = coalesce(?2, id), state = coalesce(?3, state), "
		"finished_s = coalesce(?4, finished_s), summary = coalesce(?5, summary), "
		"holds = coalesce(?6, holds) WHERE row = ?1",
	[STATEMENT_PLAN_STATE] = "SELECT state FROM plan WHERE row = ?1",
	/* Of rows of one id the held one, else the newest. */
	[STATEMENT_PLAN_BY_PREFIX] =
		"SELECT " PLAN_COLUMNS " FROM plan WHERE id >= ?1 AND id < ?2 AND id <> '' "
		"ORDER BY id, state <> 4, row DESC",
	/* Two halves, so that those of one state are found by the index among very many. */
	[STATEMENT_PLAN_LIST] =
		"SELECT " PLAN_COLUMNS " FROM plan WHERE state = ?1 UNION ALL SELECT " PLAN_COLUMNS
		" FROM plan WHERE ?1 = 0 ORDER BY row",
	[STATEMENT_PLAN_DELETE] = "DELETE FROM plan WHERE row = ?1",
	[STATEMENT_PLAN_PRUNE] =
		"DELETE FROM plan WHERE state IN (3, 5) AND max(created_s, finished_s) < ?1",

	[STATEMENT_WINDOW_ADD] = "INSERT INTO window_event (kind, subject, at_s, n) "
				 "VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET "
				 "n = n + excluded.n",
	[STATEMENT_WINDOW_SUM] = "SELECT coalesce(sum(n), 0) FROM window_event "
				 "WHERE kind = ?1 AND subject = ?2 AND at_s >= ?3",
	[STATEMENT_WINDOW_PRUNE] = "DELETE FROM window_event WHERE at_s < ?1",

	[STATEMENT_QUARANTINE_PUT] =
		"INSERT INTO quarantine (source, locator, key, reason, detail, since_s, seen_s) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET "
		"key = excluded.key, reason = excluded.reason, detail = excluded.detail, "
		"since_s = min(since_s, excluded.since_s), seen_s = max(seen_s, excluded.seen_s)",
	[STATEMENT_QUARANTINE_PRUNE] = "DELETE FROM quarantine WHERE source = ?1 AND seen_s < ?2",
	[STATEMENT_QUARANTINE_AGE] =
		"UPDATE quarantine SET seen_s = ?2 - 1 WHERE source = ?1 AND seen_s >= ?2",
	[STATEMENT_QUARANTINE_LIST] =
		"SELECT source, locator, key, reason, detail, since_s, seen_s FROM quarantine "
		"WHERE (?1 = 0 OR source = ?1) AND (?2 = '' OR locator = ?2 OR key = ?2) "
		"ORDER BY source, locator LIMIT ?3",
	[STATEMENT_QUARANTINE_TOTAL] =
		"SELECT count(*) FROM quarantine WHERE (?1 = 0 OR source = ?1) AND "
		"(?2 = '' OR locator = ?2 OR key = ?2)",
	[STATEMENT_QUARANTINE_COUNTS] =
		"SELECT source, reason, count(*) FROM quarantine GROUP BY source, reason "
		"ORDER BY source, count(*) DESC, reason",

	[STATEMENT_QUARANTINE_HAS_KEY] =
		"SELECT 1 FROM quarantine WHERE source = ?1 AND key = ?2 LIMIT 1",

	[STATEMENT_ALARM_REFRESH] = "UPDATE alarm SET text = ?3 "
				    "WHERE kind = ?1 AND subject = ?2 AND cleared_s = 0",
	[STATEMENT_ALARM_RAISE] =
		"INSERT INTO alarm (kind, subject, text, since_s) VALUES (?1, ?2, ?3, ?4)",
	/* Cleared in the second of its raising, whatever the clock says: 0 would mean open. */
	[STATEMENT_ALARM_CLEAR] = "UPDATE alarm SET cleared_s = max(?4, 1), cleared_by = ?3 "
				  "WHERE kind = ?1 AND subject = ?2 AND cleared_s = 0",
	[STATEMENT_ALARM_LIST] = "SELECT id, kind, subject, text, since_s, cleared_s, cleared_by "
				 "FROM alarm WHERE ?1 = 0 OR cleared_s = 0 ORDER BY id",
	[STATEMENT_ALARM_PRUNE] = "DELETE FROM alarm WHERE cleared_s > 0 AND cleared_s < ?1",

	[STATEMENT_AUDIT_APPEND] =
		"INSERT OR FAIL INTO audit (seq, at_s, actor, action, object, request, "
		"request_uuid, detail, hash) SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8 "
		"FROM waiting_audit",
	[STATEMENT_AUDIT_HEAD] = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
	/* Filled in the order of the index. */
	[STATEMENT_AUDIT_INDEX] = "INSERT OR IGNORE INTO audit_about (object, seq) " AUDIT_KEYS,
	[STATEMENT_AUDIT_KEYS] = AUDIT_KEYS,
	[STATEMENT_AUDIT_UNINDEX] = "DELETE FROM audit_about WHERE object = ?1 AND seq = ?2",
	[STATEMENT_AUDIT_ANCHOR] = "SELECT seq, hash, at_s, moved_s FROM audit_anchor",
	[STATEMENT_AUDIT_ANCHOR_SET] = "UPDATE audit_anchor SET (seq, hash, at_s, moved_s) = "
				       "(SELECT seq, hash, at_s, ?2 FROM audit WHERE seq = ?1)",
	[STATEMENT_AUDIT_PRUNE] = "DELETE FROM audit WHERE seq > ?1 AND seq <= ?2",
	[STATEMENT_AUDIT_TIMES] =
		"SELECT seq, at_s FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
	[STATEMENT_INDEXED_AUDIT_SET] =
		"UPDATE counter SET value = ?1 WHERE name = 'indexed-audit'",
	/* What is in no index yet: sessions from, to; audit rows from, to; is there used_late? */
	[STATEMENT_LATE_ROWS] = "SELECT " INDEXED_SESSION
				", (SELECT coalesce(max(id), 0) FROM session), " INDEXED_AUDIT
				", (SELECT coalesce(max(seq), 0) FROM audit), "
				"(SELECT coalesce(max(row) - min(row) + 1, 0) FROM used_late)",

	[STATEMENT_META_GET] = "SELECT value FROM meta WHERE name = ?1",
	[STATEMENT_META_SET] = "INSERT INTO meta (name, value) VALUES (?1, ?2) "
			       "ON CONFLICT DO UPDATE SET value = excluded.value",

	[STATEMENT_USERS_UNREAD] =
		"SELECT DISTINCT id >> 16 AS user FROM identity WHERE source = ?1 AND read_s < ?2 "
		"AND id >= ?3 * 65536 + 65536 AND id >> 16 NOT IN (SELECT id FROM user "
		"INDEXED BY user_inactive WHERE " USER_IS_INACTIVE ") ORDER BY user LIMIT ?4",
	[STATEMENT_SESSION_INSERT] =
		"INSERT OR FAIL INTO session (id, uuid, user, source, name_id, name_id_format, "
		"session_index, address, agent, created_s, seen_s, until_s, second_factor_s, "
		"identity, stage, factor, full_until_s, signed_in_s) SELECT c0, c1, c2, c3, c4, c5, "
		"c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17 FROM waiting_session",
	[STATEMENT_SESSION_LAST] =
		"SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'session'",
	/* The identity that a session confirms was read when it was opened, if not later. */
	[STATEMENT_SESSION_CONFIRM] =
		"UPDATE identity SET read_s = max(read_s, s.created_s) FROM session s "
		"WHERE s.id = ?1 AND s.indexed = 0 AND identity.id = s.identity AND "
		"identity.source = s.source",
	[STATEMENT_SESSIONS_CONFIRM] =
		"UPDATE identity SET read_s = max(read_s, s.at_s) FROM (SELECT identity AS id, "
		"source, max(created_s) AS at_s FROM session WHERE id > ?1 AND id <= ?2 AND "
		"identity <> 0 GROUP BY identity, source) s WHERE identity.id = s.id AND "
		"identity.source = s.source",
	[STATEMENT_SESSIONS_INDEX] = "UPDATE session SET indexed = 1 WHERE id > ?1 AND id <= ?2",
	[STATEMENT_INDEXED_SESSION_SET] =
		"UPDATE counter SET value = ?1 WHERE name = 'indexed-session'",
	/* In order of the table, and each of its rows once; of those that are full. */
	[STATEMENT_SIGN_INS_COUNT] =
		"INSERT INTO sign_in (user, day, n, last_s) SELECT user, created_s / 86400, "
		"count(*), max(created_s) FROM session NOT INDEXED WHERE id > ?1 AND id <= ?2 "
		"AND stage = 0 AND counted = 0 GROUP BY 1, 2 " SIGN_IN_AGAIN,
	[STATEMENT_SIGN_IN_COUNT] =
		"INSERT INTO sign_in (user, day, n, last_s) SELECT user, created_s / 86400, 1, "
		"created_s FROM session WHERE id = ?1 AND indexed = 0 AND stage = 0 "
		"AND counted = 0 " SIGN_IN_AGAIN,
	/* One that becomes full after the others of its time were counted. */
	[STATEMENT_SIGN_IN_COUNT_LATE] =
		"INSERT INTO sign_in (user, day, n, last_s) SELECT user, created_s / 86400, 1, "
		"created_s FROM session WHERE id = ?1 AND indexed = 1 AND stage <> 0 "
		"AND counted = 0 " SIGN_IN_AGAIN,
	[STATEMENT_SIGN_INS_LATE] = "SELECT user, created_s FROM session NOT INDEXED "
				    "WHERE id > " INDEXED_SESSION " AND stage = 0 AND counted = 0 "
				    "ORDER BY user, created_s",
	[STATEMENT_SIGN_INS_OF] =
		"SELECT day, n, last_s FROM sign_in WHERE user = ?1 ORDER BY day DESC",
	[STATEMENT_SIGN_INS_FORGET] = "DELETE FROM sign_in WHERE user = ?1 AND day < ?2 AND "
				      "day < (SELECT max(day) FROM sign_in WHERE user = ?1)",
	[STATEMENT_FEATURE_USE_FORGET] = "DELETE FROM feature_use WHERE user = ?1 AND day < ?2",
	[STATEMENT_FEATURE_FIND] = "SELECT id FROM feature WHERE application = ?1 AND name = ?2",
	[STATEMENT_FEATURE_ADD] =
		"INSERT INTO feature (application, name) SELECT ?1, ?2 WHERE (SELECT count(*) "
		"FROM feature WHERE application = ?1) < ?3",
	[STATEMENT_FEATURE_LIST] = "SELECT id, application, name FROM feature WHERE "
				   "(?1 = 0 OR application = ?1) AND (?2 IS NULL OR name = ?2) "
				   "ORDER BY id",
	[STATEMENT_FEATURE_USE_ADD] =
		"INSERT INTO feature_use (user, day, feature, n) VALUES (?1, ?2, ?3, ?4) "
		"ON CONFLICT DO UPDATE SET n = n + excluded.n",
	[STATEMENT_FEATURE_USE_OF] = "SELECT day, feature, n FROM feature_use WHERE user = ?1 AND "
				     "day >= ?2 AND day < ?3 ORDER BY day, feature",
	[STATEMENT_EVENT_BATCH_FIND] =
		"SELECT row, content, done FROM event_batch WHERE application = ?1 AND id = ?2",
	[STATEMENT_EVENT_BATCH_ADD] = "INSERT INTO event_batch (application, id, content, at_s, "
				      "done) VALUES (?1, ?2, ?3, ?4, ?5)",
	[STATEMENT_EVENT_BATCH_SET] = "UPDATE event_batch SET done = max(done, ?2) WHERE row = ?1",
	[STATEMENT_EVENT_BATCH_FORGET] = "DELETE FROM event_batch WHERE row <= ?1 AND at_s < ?2",
	[STATEMENT_EVENTS_COUNT] =
		"UPDATE counter SET value = value + iif(name = 'events', ?1, ?2) "
		"WHERE name IN ('events', 'events-refused')",
	[STATEMENT_ACTIVITY_TOTALS] =
		"SELECT (SELECT coalesce(max(seq), 0) FROM sqlite_sequence "
		"WHERE name = 'session'), (SELECT value FROM counter WHERE name = 'events'), "
		"(SELECT value FROM counter WHERE name = 'events-refused')",
	[STATEMENT_SESSION_UPDATE] =
		"UPDATE session SET until_s = ?2, second_factor_s = ?3, stage = ?4, factor = ?5, "
		"full_until_s = ?6, signed_in_s = ?7 WHERE id = ?1",
	[STATEMENT_SESSION_RARE] = "UPDATE session SET by_link = ?2, device_by = ?3, "
				   "idp_asked = ?4 WHERE id = ?1",
	[STATEMENT_SESSION_COUNTED] = "UPDATE session SET counted = 1 WHERE id = ?1",
	[STATEMENT_SESSION_SEEN] = "UPDATE session SET seen_s = ?2 WHERE id = ?1",
	[STATEMENT_SESSION_DELETE] = "DELETE FROM session WHERE id = ?1",
	[STATEMENT_SESSION_GET] = "SELECT " SESSION_COLUMNS " FROM session s WHERE id = ?1",
	[STATEMENT_SESSION_FIND] =
		"SELECT " SESSION_COLUMNS " FROM session s INDEXED BY session_uuid "
		"WHERE uuid = ?1 AND indexed = 1 UNION ALL SELECT " SESSION_COLUMNS
		" FROM session s NOT INDEXED WHERE id > " INDEXED_SESSION " AND uuid = ?1",
	/* Three of one shape: ?1 user, ?2 source, ?3 name, ?4 index, ?5 after, ?6 limit. */
	[STATEMENT_SESSION_LIST] =
		"SELECT " SESSION_COLUMNS " FROM session s NOT INDEXED WHERE id > ?5 AND "
		"(?2 IS NULL OR source = ?2) AND (?4 IS NULL OR session_index = ?4) AND "
		"?1 IS NOT NULL AND ?3 IS NULL ORDER BY id LIMIT ?6",
	[STATEMENT_SESSION_LIST_USER] =
		"SELECT " SESSION_COLUMNS " FROM session s INDEXED BY session_user WHERE "
		"user = ?1 AND indexed = 1 AND " SESSION_FILTER
		" AND (?3 IS NULL OR name_id = ?3) UNION ALL SELECT " SESSION_COLUMNS
		" FROM session s NOT INDEXED WHERE id > " INDEXED_SESSION
		" AND user = ?1 AND " SESSION_FILTER " AND (?3 IS NULL OR name_id = ?3) "
		"ORDER BY 1 LIMIT ?6",
	[STATEMENT_SESSION_LIST_NAME] =
		"SELECT " SESSION_COLUMNS " FROM session s INDEXED BY session_name WHERE "
		"source = ?2 AND name_id = ?3 AND name_id <> '' AND indexed = 1 AND " SESSION_FILTER
		" AND (?1 = 0 OR user = ?1) UNION ALL SELECT " SESSION_COLUMNS
		" FROM session s NOT INDEXED WHERE id > " INDEXED_SESSION
		" AND source = ?2 AND name_id = ?3 AND name_id <> '' AND " SESSION_FILTER
		" AND (?1 = 0 OR user = ?1) ORDER BY 1 LIMIT ?6",
	[STATEMENT_SESSION_EXPIRED] =
		"SELECT id FROM session INDEXED BY session_until WHERE until_s <= ?1 AND "
		"indexed = 1 UNION ALL SELECT id FROM session NOT INDEXED WHERE "
		"id > " INDEXED_SESSION " AND until_s <= ?1 LIMIT ?2",
	[STATEMENT_SESSION_IDLE] =
		"SELECT id FROM session INDEXED BY session_seen WHERE seen_s < ?1 AND indexed = 1 "
		"UNION ALL SELECT id FROM session NOT INDEXED WHERE id > " INDEXED_SESSION
		" AND seen_s < ?1 LIMIT ?2",
	[STATEMENT_TOKEN_FIRST] = "INSERT OR FAIL INTO session_token (session, hash, host, "
				  "created_s) SELECT c0, c1, c2, c3 FROM waiting_token",
	[STATEMENT_TOKEN_ADD] =
		"INSERT INTO session_token (session, hash, host, created_s) VALUES (?1, ?2, ?3, ?4)",
	[STATEMENT_TOKENS_DROP] = "DELETE FROM session_token WHERE session = ?1",
	[STATEMENT_TOKEN_EACH] =
		"SELECT session, hash, host, created_s FROM session_token ORDER BY session",
	[STATEMENT_USED_HAS] =
		"SELECT 1 FROM used_once WHERE kind = ?1 AND source = ?2 AND id = ?3",
	[STATEMENT_USED_ADD] = "INSERT OR FAIL INTO used_late (kind, source, id, until_s) "
			       "SELECT c0, c1, c2, c3 FROM waiting_used",
	[STATEMENT_USED_LATE] = "SELECT kind, source, id FROM used_late",
	[STATEMENT_USED_MOVE] =
		"INSERT INTO used_once (kind, source, id, until_s) SELECT kind, source, id, "
		"until_s FROM used_late WHERE true ORDER BY kind, source, id "
		"ON CONFLICT DO NOTHING",
	[STATEMENT_USED_CLEAR] = "DELETE FROM used_late",
	[STATEMENT_USED_PRUNE] =
		"DELETE FROM used_once WHERE (kind, source, id) IN (SELECT kind, source, id FROM "
		"used_once INDEXED BY used_once_until WHERE until_s < ?1 LIMIT ?2)",
	[STATEMENT_DUE_ADD] = "INSERT OR IGNORE INTO disable_due (at_s, source, user) "
			      "VALUES (?1, ?2, ?3)",
	/* In none of the indexes: to set what is there anew would write them all. */
	[STATEMENT_USER_TOUCH] = "UPDATE user SET version = ?2, updated_s = ?3 "
				 "WHERE id = ?1 AND version = ?2 - 1",
	[STATEMENT_LINK_DONE] =
		"DELETE FROM link_by_hand WHERE source = ?1 AND key = ?2 AND wanted = 1",
	[STATEMENT_LINK_WANTED] =
		"SELECT user FROM link_by_hand WHERE source = ?1 AND key = ?2 AND wanted = 1",
	[STATEMENT_LINK_REFUSED] = "SELECT 1 FROM link_by_hand WHERE source = ?1 AND key = ?2 AND "
				   "user = ?3 AND wanted = 0",
	[STATEMENT_LINK_ANY] =
		"SELECT 1 FROM link_by_hand WHERE source = ?1 AND wanted = 1 LIMIT 1",
	[STATEMENT_EXTERNAL_FIND] =
		"SELECT user FROM external_user WHERE organization = ?1 AND id = ?2",
	[STATEMENT_EXTERNAL_OF] = "SELECT id FROM external_user WHERE user = ?1",
	[STATEMENT_EXTERNAL_DROP] = "DELETE FROM external_user WHERE user = ?1",
	[STATEMENT_EXTERNAL_ADD] =
		"INSERT INTO external_user (organization, id, user) VALUES (?1, ?2, ?3)",

	/* Behind those of the same person that wait. */
	[STATEMENT_DELIVERY_ADD] =
		"INSERT INTO delivery (uuid, target, user, event, detail, created_s, next_s) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, CASE WHEN EXISTS (SELECT 1 FROM delivery "
		"WHERE target = ?2 AND user = ?3 AND dead_s = 0) THEN -1 ELSE ?7 END)",
	[STATEMENT_DELIVERY_FOLD] =
		"UPDATE delivery SET event = ?3, version = version + 1, "
		"created_s = iif(dead_s = 0 AND attempts = 0, created_s, ?4), "
		"next_s = iif(dead_s = 0 AND attempts = 0, min(next_s, ?5), ?5), "
		"attempts = 0, dead_s = 0, code = '', problem = '' "
		"WHERE target = ?1 AND user = ?2",
	[STATEMENT_DELIVERY_REMOVE] = "DELETE FROM delivery WHERE id = ?1 AND version = ?2",
	[STATEMENT_DELIVERY_PROMOTE] =
		"UPDATE delivery SET next_s = ?3 WHERE id = (SELECT id FROM delivery WHERE "
		"target = ?1 AND user = ?2 AND dead_s = 0 ORDER BY id LIMIT 1) AND next_s = -1",

	[STATEMENT_ACCOUNT_FIND] = "SELECT row, organization FROM resource WHERE application = ?1 "
				   "AND type = ?2 AND id = ?3",
	[STATEMENT_ACCOUNT_TIE] = "INSERT INTO account_user (account, user, since_s) "
				  "VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
	[STATEMENT_ACCOUNT_UNTIE] = "DELETE FROM account_user WHERE account = ?1 AND user = ?2",
	[STATEMENT_ACCOUNTS_OF] =
		"SELECT r.row, r.application, r.id, r.title, a.since_s FROM account_user a "
		"INDEXED BY account_of_user CROSS JOIN resource r ON r.row = a.account "
		"WHERE a.user = ?1 AND a.account > ?2 AND (?4 = 0 OR r.application = ?4) "
		"ORDER BY a.account LIMIT ?3",
	[STATEMENT_ACCOUNT_COUNT] = "SELECT count(*) FROM account_user INDEXED BY account_of_user "
				    "WHERE user = ?1",
	[STATEMENT_ACCOUNTS_DROP] = "DELETE FROM account_user WHERE user = ?1",
	[STATEMENT_RESOURCE_FIND] = "SELECT " RESOURCE_COLUMNS RESOURCE_FROM
				    "WHERE r.application = ?1 AND r.type = ?2 AND r.id = ?3",
	[STATEMENT_RESOURCE_GET] = "SELECT " RESOURCE_COLUMNS RESOURCE_FROM "WHERE r.row = ?1",
	[STATEMENT_RESOURCE_INSERT] =
		"INSERT INTO resource (parent, owner, organization, title, version, updated_s, "
		"application, type, id, created_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
		"?10)",
	[STATEMENT_RESOURCE_UPDATE] =
		"UPDATE resource SET parent = ?1, owner = ?2, organization = ?3, title = ?4, "
		"version = ?5, updated_s = ?6 WHERE row = ?7",
	[STATEMENT_RESOURCE_REMOVE] = "DELETE FROM resource WHERE row = ?1",
	[STATEMENT_RESOURCE_CHILD] = "SELECT 1 FROM resource WHERE parent = ?1 LIMIT 1",
	[STATEMENT_RESOURCE_HEIGHT] =
		"WITH RECURSIVE below (row, level) AS (SELECT ?1, 0 UNION ALL "
		"SELECT r.row, b.level + 1 FROM below b CROSS JOIN resource r ON r.parent = b.row "
		"WHERE b.level < ?2 LIMIT ?3) SELECT max(level), count(*) FROM below",
	[STATEMENT_REFERENCE_FIND] =
		"SELECT " REFERENCE_COLUMNS " FROM reference f JOIN user u ON u.id = f.user "
		"WHERE f.application = ?1 AND f.kind = ?2 AND f.id = ?3",
	[STATEMENT_REFERENCE_INSERT] =
		"INSERT INTO reference (user, label, version, updated_s, application, kind, id, "
		"created_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[STATEMENT_REFERENCE_UPDATE] =
		"UPDATE reference SET user = ?1, label = ?2, version = ?3, updated_s = ?4 "
		"WHERE row = ?5",
	[STATEMENT_REFERENCE_REMOVE] = "DELETE FROM reference WHERE row = ?1",
	[STATEMENT_RESPONSIBLE_ANY] = "SELECT EXISTS (SELECT 1 FROM reference WHERE user = ?1) OR "
				      "EXISTS (SELECT 1 FROM resource WHERE owner = ?1)",
	[STATEMENT_ORPHANING_SET] =
		"INSERT INTO orphaning (user, since_s) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
	[STATEMENT_ORPHANING_CLEAR] = "DELETE FROM orphaning WHERE user = ?1",
	/* Each bit is a method; of recovery codes those on paper. */
	[STATEMENT_FACTOR_METHODS] =
		"SELECT method FROM factor WHERE user = ?1 AND confirmed_s <> 0",
	[STATEMENT_RECOVERY_LEFT] = "SELECT 5 FROM recovery_code WHERE user = ?1 AND slot < 10 "
				    "AND used_s = 0 LIMIT 1",
};

enum { SEES_ALL, SEES_PEOPLE, SEES_NONE };

bool statement_needs_flush(enum statement_id id, bool people)
{
	/* Names of users and their UUIDs among those who wait are known by late.h. */
	static const unsigned char sees[STATEMENTS] = {
		[STATEMENT_SAVEPOINT] = SEES_NONE,
		[STATEMENT_ORGANIZATION_FIND] = SEES_NONE,
		[STATEMENT_SOURCE_FIND] = SEES_NONE,
		[STATEMENT_NAME_FIND] = SEES_NONE,
		[STATEMENT_ORGANIZATION_TEXT] = SEES_NONE,
		[STATEMENT_SOURCE_TEXT] = SEES_NONE,
		[STATEMENT_NAME_TEXT] = SEES_NONE,
		[STATEMENT_ORGANIZATION_ADD] = SEES_NONE,
		[STATEMENT_SOURCE_ADD] = SEES_NONE,
		[STATEMENT_NAME_ADD] = SEES_NONE,
		[STATEMENT_LOGIN_OWNER] = SEES_NONE,
		[STATEMENT_UUID_OWNER] = SEES_NONE,
		[STATEMENT_KEY_OWNER] = SEES_NONE,
		[STATEMENT_USED_HAS] = SEES_NONE,
		[STATEMENT_DATA_VERSION] = SEES_NONE,
		[STATEMENT_DUE_ADD] = SEES_NONE,
		[STATEMENT_LINK_DONE] = SEES_NONE,
		[STATEMENT_LINK_WANTED] = SEES_NONE,
		[STATEMENT_LINK_REFUSED] = SEES_NONE,
		[STATEMENT_LINK_ANY] = SEES_NONE,
		[STATEMENT_EXTERNAL_FIND] = SEES_NONE,
		[STATEMENT_EXTERNAL_OF] = SEES_NONE,
		[STATEMENT_EXTERNAL_DROP] = SEES_NONE,
		[STATEMENT_EXTERNAL_ADD] = SEES_NONE,
		[STATEMENT_DELIVERY_ADD] = SEES_NONE,
		[STATEMENT_DELIVERY_FOLD] = SEES_NONE,
		[STATEMENT_DELIVERY_REMOVE] = SEES_NONE,
		[STATEMENT_DELIVERY_PROMOTE] = SEES_NONE,
		[STATEMENT_ACCOUNT_FIND] = SEES_NONE,
		[STATEMENT_ACCOUNT_TIE] = SEES_NONE,
		[STATEMENT_ACCOUNT_UNTIE] = SEES_NONE,
		[STATEMENT_ACCOUNTS_OF] = SEES_NONE,
		[STATEMENT_ACCOUNT_COUNT] = SEES_NONE,
		[STATEMENT_ACCOUNTS_DROP] = SEES_NONE,
		[STATEMENT_RESOURCE_REMOVE] = SEES_NONE,
		[STATEMENT_RESOURCE_CHILD] = SEES_NONE,
		[STATEMENT_RESOURCE_HEIGHT] = SEES_NONE,
		[STATEMENT_REFERENCE_REMOVE] = SEES_NONE,
		[STATEMENT_RESPONSIBLE_ANY] = SEES_NONE,
		[STATEMENT_ORPHANING_CLEAR] = SEES_NONE,
		[STATEMENT_FACTOR_METHODS] = SEES_NONE,
		[STATEMENT_RECOVERY_LEFT] = SEES_NONE,
		[STATEMENT_RESOURCE_FIND] = SEES_PEOPLE,
		[STATEMENT_RESOURCE_GET] = SEES_PEOPLE,
		[STATEMENT_RESOURCE_INSERT] = SEES_PEOPLE,
		[STATEMENT_RESOURCE_UPDATE] = SEES_PEOPLE,
		[STATEMENT_REFERENCE_FIND] = SEES_PEOPLE,
		[STATEMENT_REFERENCE_INSERT] = SEES_PEOPLE,
		[STATEMENT_REFERENCE_UPDATE] = SEES_PEOPLE,
		[STATEMENT_ORPHANING_SET] = SEES_PEOPLE,
		[STATEMENT_HORIZON] = SEES_PEOPLE,
		[STATEMENT_USER_BY_ID] = SEES_PEOPLE,
		[STATEMENT_IDENTITY_GET] = SEES_PEOPLE,
		[STATEMENT_IDENTITIES_OF] = SEES_PEOPLE,
		[STATEMENT_GRANTS_OF] = SEES_PEOPLE,
		[STATEMENT_HAS_KEY] = SEES_PEOPLE,
		[STATEMENT_IDENTITY_CONFIRM] = SEES_PEOPLE,
	};

	return sees[id] == SEES_ALL || (people && sees[id] == SEES_PEOPLE);
}
