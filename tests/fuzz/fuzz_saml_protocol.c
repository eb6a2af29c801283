/*
 * Messages between core and saml worker, either of which may be broken into. The first byte
 * picks the record. What was taken in is what would be sent: written again it is the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "../../daemon/source/saml/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union record {
	struct saml_setup setup;
	struct saml_receive_job receive;
	struct saml_login_request login;
	struct saml_logout_start start;
	struct saml_answer_job answer;
	struct saml_metadata_job metadata;
	struct saml_verdict verdict;
	struct saml_logout_verdict logout;
	struct saml_outgoing outgoing;
	struct saml_idp idp;
	struct saml_failure failure;
	const char *xml;
	size_t number;
};

static void wire_record(uint8_t which, struct wire *wire, union record *record)
{
	switch (which) {
	case 0: wire_setup(wire, &record->setup); break;
	case 1: wire_receive_job(wire, &record->receive); break;
	case 2: wire_login(wire, &record->login); break;
	case 3: wire_logout_start(wire, &record->start); break;
	case 4: wire_answer_job(wire, &record->answer); break;
	case 5: wire_provider_number(wire, &record->number); break;
	case 6: wire_metadata_job(wire, &record->metadata); break;
	case 7: wire_verdict(wire, &record->verdict); break;
	case 8: wire_logout_verdict(wire, &record->logout); break;
	case 9: wire_outgoing(wire, &record->outgoing); break;
	case 10: wire_idp(wire, &record->idp); break;
	case 11: wire_failure(wire, &record->failure); break;
	default: wire_xml(wire, &record->xml); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	AUTO(strbuf) struct strbuf again = STRBUF(1 << 24);
	union record record = { 0 };
	struct reader in;
	struct wire read = { .in = &in, .arena = arena }, write = { .out = &again };

	if (size == 0 || !arena)
		return 0;
	in = reader_init(data + 1, size - 1);
	wire_record(data[0] % 13, &read, &record);
	if (wire_done(&read, "record", NULL) < 0)
		return 0;
	wire_record(data[0] % 13, &write, &record);
	if (again.size != size - 1 || memcmp(strbuf_text(&again), data + 1, size - 1) != 0)
		abort();
	return 0;
}
