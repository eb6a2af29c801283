/*
 * Every record that core and saml worker exchange, under one type for all: for the tests and the fuzzer of their
 * messages. The order is that of the fuzzer's corpus.
 */
#ifndef TESTS_SOURCE_SAML_RECORDS_H
#define TESTS_SOURCE_SAML_RECORDS_H

#include "../../../daemon/source/saml/protocol.h"

/* Member, its type, the function that writes and reads it. */
#define SAML_RECORDS(ROW) \
	ROW(setup, struct saml_setup, wire_setup) \
	ROW(receive, struct saml_receive_job, wire_receive_job) \
	ROW(login, struct saml_login_request, wire_login) \
	ROW(start, struct saml_logout_start, wire_logout_start) \
	ROW(answer, struct saml_answer_job, wire_answer_job) \
	ROW(number, size_t, wire_provider_number) \
	ROW(metadata, struct saml_metadata_job, wire_metadata_job) \
	ROW(verdict, struct saml_verdict, wire_verdict) \
	ROW(logout, struct saml_logout_verdict, wire_logout_verdict) \
	ROW(outgoing, struct saml_outgoing, wire_outgoing) \
	ROW(idp, struct saml_idp, wire_idp) \
	ROW(failure, struct saml_failure, wire_failure) \
	ROW(xml, const char *, wire_xml)

#define SAML_RECORD_MEMBER(member, type, function) type member;
union record {
	SAML_RECORDS(SAML_RECORD_MEMBER)
};

typedef void record_function(struct wire *wire, union record *record);

#define SAML_RECORD_FUNCTION(member, type, function) \
	static inline void record_##member(struct wire *wire, union record *record) \
	{ \
		function(wire, &record->member); \
	}
SAML_RECORDS(SAML_RECORD_FUNCTION)

#endif
