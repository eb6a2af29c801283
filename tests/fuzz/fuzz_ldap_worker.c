/* Messages of an ldap worker, attributes, server URLs and range options: bytes of a peer or a configuration. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "../../daemon/source/directory.h"
#include "../../daemon/source/ldap/entry.h"
#include "../../daemon/source/ldap/output.h"
#include "../../daemon/source/ldap/protocol.h"
#include "../../daemon/source/ldap/server.h"
#include "../../daemon/source/ldap/srv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

/* What was taken in is what would be sent: encoding it again gives the same bytes. */
static void check_job(struct reader in, struct arena *arena)
{
	AUTO(strbuf) struct strbuf again = STRBUF(1 << 20);
	const unsigned char *bytes = in.at;
	size_t size = (size_t)(in.end - in.at);
	struct job job;

	if (job_decode(&in, arena, &job, NULL) < 0)
		return;
	job_encode(&job, &again);
	must(again.size == size + MESSAGE_HEADER_SIZE &&
	     memcmp(again.data + MESSAGE_HEADER_SIZE, bytes, size) == 0);
}

/* The same of what a following worker and its core say. */
static void check_following(uint16_t type, struct reader in, struct arena *arena)
{
	AUTO(strbuf) struct strbuf again = STRBUF(1 << 20);
	const unsigned char *bytes = in.at;
	size_t size = (size_t)(in.end - in.at), key_size;
	struct protocol_groups groups;
	struct protocol_mode mode;
	struct protocol_resume resume;
	struct protocol_step step;
	const char *key, *detail;
	const void *password;
	uint64_t changes;
	bool right;

	if (type == PROTOCOL_GROUPS && groups_decode(&in, arena, &groups, NULL) == 0) {
		for (size_t i = 1; i < groups.count; i++)
			must(groups.ids[i - 1] < groups.ids[i]);
		groups_encode(&groups, &again);
	} else if (type == PROTOCOL_MODE && mode_decode(&in, arena, &mode, NULL) == 0) {
		must(mode.mode >= FOLLOW_SYNC && mode.mode <= FOLLOW_TIMESTAMP);
		mode_encode(&mode, &again);
	} else if (type == PROTOCOL_RESUME && resume_decode(&in, arena, &resume, NULL) == 0) {
		resume_encode(&resume, &again);
	} else if (type == PROTOCOL_GONE && key_decode(&in, &key, &key_size, NULL) == 0) {
		must(key_size > 0 && key_size <= PROTOCOL_KEY_MAX);
		key_encode(PROTOCOL_GONE, key, key_size, &again);
	} else if (type == PROTOCOL_STEP && step_decode(&in, arena, &step, NULL) == 0) {
		must(step.ok == (step.reason[0] == '\0') && step.fact_count <= FACT_KINDS);
		step_encode(&step, &again);
	} else if (type == PROTOCOL_COMMIT && commit_decode(&in, &changes, NULL) == 0) {
		commit_encode(changes, &again);
	} else if (type == PROTOCOL_LOST && trouble_decode(&in, arena, &key, &detail, NULL) == 0) {
		must(key[0] != '\0');
		trouble_encode(PROTOCOL_LOST, key, detail, &again);
	} else if (type == PROTOCOL_LOGIN && login_decode(&in, &password, &key_size, NULL) == 0) {
		must(key_size > 0 && key_size <= PROTOCOL_PASSWORD_MAX);
		login_encode(password, key_size, &again);
	} else if (type == PROTOCOL_VERDICT && verdict_decode(&in, &right, NULL) == 0) {
		verdict_encode(right, &again);
	} else {
		return;
	}
	must(again.size == size + MESSAGE_HEADER_SIZE &&
	     memcmp(again.data + MESSAGE_HEADER_SIZE, bytes, size) == 0);
}

static void check_srv(const uint8_t *data, size_t size)
{
	struct srv_target targets[SRV_TARGETS_MAX];
	size_t count = 0;

	if (srv_decode(data, size, targets, &count, NULL) < 0)
		return;
	must(count <= SRV_TARGETS_MAX);
	for (size_t i = 0; i < count; i++)
		must(targets[i].port > 0 && targets[i].host[0] != '\0' &&
		     strlen(targets[i].host) <= SRV_HOST_MAX);
}

/* Values lie within the attribute, and there are as many as was said. */
static void check_attribute(const char *data, size_t size)
{
	struct attribute_values values;
	struct berval name, value;
	size_t count = 0;

	if (attribute_split(data, size, &name, &values) < 0)
		return;
	must(name.bv_val >= data && name.bv_len < size);
	for (; attribute_next_value(&values, &value); count++)
		must(value.bv_val >= name.bv_val + name.bv_len &&
		     value.bv_val + value.bv_len <= data + size);
	must(count == values.count && values.at == values.end);
}

static void check_texts(const char *data, size_t size)
{
	AUTO(strbuf) struct strbuf shown = STRBUF(1 << 20);
	struct directory_range range;
	struct server server;

	if (directory_name_range(data, size, &range))
		must(range.base_size < size && (range.next == 0 || range.next > range.first));
	display_escape(&shown, data, size);
	for (size_t i = 0; i < shown.size; i++)
		must((unsigned char)shown.data[i] >= 0x20 && shown.data[i] != 0x7f);
	char *url = malloc(size + 1);
	must(url != NULL);
	memcpy(url, data, size);
	url[size] = '\0';
	if (server_parse(url, &server, NULL) == 0)
		must(server.host[0] != '\0' && strlen(server.url) <= SERVER_URL_MAX);
	free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct quarantined entry;
	struct protocol_group group;
	struct protocol_end end;
	enum protocol_phase phase;
	uint64_t entries;

	if (size == 0)
		return 0;
	struct reader in = reader_init(data + 1, size - 1);
	static const uint16_t following[] = { PROTOCOL_GROUPS, PROTOCOL_MODE,	PROTOCOL_RESUME,
					      PROTOCOL_GONE,   PROTOCOL_COMMIT, PROTOCOL_LOST,
					      PROTOCOL_STEP };
	if (data[0] >= 0x80) {
		check_following(following[data[0] % ARRAY_LEN(following)], in, arena);
		return 0;
	}
	switch (data[0] % 8) {
	case 0: check_job(in, arena); break;
	case 1: phase_decode(&in, &phase, NULL); break;
	case 2: progress_decode(&in, &entries, NULL); break;
	case 3: quarantine_decode(&in, arena, &entry, NULL); break;
	case 4: group_decode(&in, &group, NULL); break;
	case 5:
		if (end_decode(&in, arena, &end, NULL) == 0)
			must(end.complete == (end.reason[0] == '\0'));
		break;
	case 7: check_srv(data + 1, size - 1); break;
	default:
		check_attribute((const char *)data + 1, size - 1);
		check_texts((const char *)data + 1, size - 1);
	}
	return 0;
}
