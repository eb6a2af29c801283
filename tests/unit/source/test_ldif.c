/* LDIF: what RFC 2849 allows, what is refused, and that the rest proceeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/file.h>

#include "support.h"

static const struct wanted_attribute usual[] = {
	{ "cn", "cn" },
	{ "description", "description" },
	{ "mail", "mail" },
	{ "title", "title" },
};

static const struct wanted_group groups[] = {
	{ 1, "cn=all,dc=x" },
	{ 2, "cn=staff,dc=x" },
	{ 3, "11111111-2222-3333-4444-555555555555" },
	{ 4, "cn=gone,dc=x" },
};

static struct ldif_source make_source(const char *path, const char *key)
{
	return (struct ldif_source){
		.common = support_source("one"),
		.path = LOCATED(path),
		.key = LOCATED(key),
	};
}

static int read_source(const struct ldif_source *source, struct seen *seen,
		       struct read_result *result, struct err *err)
{
	struct intake intake = support_intake(seen);

	return ldif_read(source, usual, ARRAY_LEN(usual), groups, ARRAY_LEN(groups), &intake,
			 result, err);
}

static struct read_result read_text(const char *text, size_t size, const char *key,
				    struct seen *seen)
{
	struct ldif_source source = make_source(support_write("t.ldif", text, size), key);
	struct read_result result;
	struct err err;

	support_seen_clear(seen);
	if (read_source(&source, seen, &result, &err) < 0)
		fail_msg("%s", err.text);
	return result;
}

#define PERSON(name) "dn: uid=" name ",dc=x\nobjectClass: person\nuid: " name "\n"

struct row {
	const char *name, *text;
	size_t size; /* 0: a text */
	const char *identities, *quarantined;
	const char *incomplete; /* reason; NULL: complete */
};

static const struct row rows[] = {
	/* RFC 2849, examples 1 to 3 and 5; without their telephone numbers. */
	{ "two entries",
	  "version: 1\n"
	  "dn: cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com\n"
	  "objectclass: top\nobjectclass: person\nobjectclass: organizationalPerson\n"
	  "cn: Barbara Jensen\ncn: Barbara J Jensen\ncn: Babs Jensen\nsn: Jensen\nuid: bjensen\n"
	  "description: A big sailing fan.\n\n"
	  "dn: cn=Bjorn Jensen, ou=Accounting, dc=airius, dc=com\n"
	  "objectclass: top\nobjectclass: person\ncn: Bjorn Jensen\nsn: Jensen\nuid: bj\n",
	  0,
	  "bjensen cn=Babs Jensen|Barbara J Jensen|Barbara Jensen description=A big sailing fan. "
	  "[]\nbj cn=Bjorn Jensen []\n",
	  "", NULL },
	{ "folded value",
	  "version: 1\ndn:cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com\n"
	  "objectclass:person\nuid:bjensen\ntitle:Product Manager, Rod and Reel Divis\n ion\n",
	  0, "bjensen title=Product Manager, Rod and Reel Division []\n", "", NULL },
	{ "base64 value",
	  "version: 1\ndn: cn=Gern Jensen, ou=Product Testing, dc=airius, dc=com\n"
	  "objectclass: person\nuid: gernj\n"
	  "description:: V2hhdCBhIGNhcmVmdWwgcmVhZGVyIHlvdSBhcmUhICBUaGlzIHZhbHVl\n"
	  " IGlzIGJhc2UtNjQtZW5jb2RlZCBiZWNhdXNlIGl0IGhhcyBhIGNvbnRyb2wgY2hhcmFjdGVyIGlu\n"
	  " IGl0IChhIENSKS4NICBCeSB0aGUgd2F5LCB5b3Ugc2hvdWxkIHJlYWxseSBnZXQgb3V0IG1vcmUu\n",
	  0,
	  "gernj description=What a careful reader you are!  This value is base-64-encoded because "
	  "it has a control character in it (a CR).\r  By the way, you should really get out more. "
	  "[]\n",
	  "", NULL },
	{ "URL",
	  "version: 1\ndn: cn=Horatio Jensen, ou=Product Testing, dc=airius, dc=com\n"
	  "objectclass: person\nuid: hjensen\njpegphoto:< file:///usr/local/directory/photos/hj.jpg\n"
	  "\n" PERSON("b"),
	  0, "b []\n", "5 url-refused hjensen\n", NULL },
	{ "change record",
	  "version: 1\ndn: cn=Fiona Jensen, ou=Marketing, dc=airius, dc=com\nchangetype: add\n"
	  "objectclass: person\nuid: fiona\n\n"
	  "dn: cn=Robert Jensen, ou=Marketing, dc=airius, dc=com\nchangetype: delete\n\n"
	  "dn: cn=P, dc=x\nchangetype: modify\nadd: title\ntitle: x\n-\ndelete: cn\n-\n\n" PERSON(
		  "b"),
	  0, "b []\n", "3 change-record fiona\n8 change-record\n11 change-record\n", NULL },

	{ "empty file", "\n", 0, "", "", "empty-result" },
	{ "only a version", "version: 1\n", 0, "", "", "empty-result" },
	{ "other version", "version: 2\n\n" PERSON("a"), 0, "", "", "unsupported-version" },
	{ "CRLF",
	  "dn: uid=a,dc=x\r\nobjectClass: person\r\nuid: a\r\ncn: A\r\n  B\r\n\r\n" PERSON("b"), 0,
	  "a cn=A B []\nb []\n", "", NULL },
	{ "byte order mark", "\xef\xbb\xbf" PERSON("a"), 0, "a []\n", "", NULL },
	{ "comments, one of them folded",
	  "# a\n#b: c\n  folded dn: x\n" PERSON("a") "# inside\ncn: A\n#last\n", 0, "a cn=A []\n",
	  "", NULL },
	{ "several empty lines", "\n\n" PERSON("a") "\n\n\n" PERSON("b") "\n\n", 0, "a []\nb []\n",
	  "", NULL },
	{ "options are not names",
	  PERSON("a") "cn;lang-de: B\ncn;lang-en;x-y: A\nuserCertificate;binary:: /w==\n", 0,
	  "a cn=A|B []\n", "", NULL },
	{ "binary that nobody asks for", PERSON("a") "jpegPhoto:: /9j/AAE=\n", 0, "a []\n", "",
	  NULL },
	{ "values: empty, repeated, caseless names",
	  PERSON("a") "TITLE: x\ntitle: x\ncn:\ncn::\nmail: \n", 0, "a title=x []\n", "", NULL },
	{ "spaces around the value", PERSON("a") "cn:    A b\n", 0, "a cn=A b []\n", "", NULL },
	{ "fold in the name", PERSON("a") "descr\n iption: x\n", 0, "a description=x []\n", "",
	  NULL },
	{ "base64 DN", "dn:: dWlkPWEsZGM9eA==\nobjectClass: person\nuid: a\n", 0, "a []\n", "",
	  NULL },
	{ "not a person", "dn: ou=p,dc=x\nobjectClass: organizationalUnit\nou: p\n\n" PERSON("a"),
	  0, "a []\n", "", NULL },
	{ "computer", "dn: cn=pc,dc=x\nobjectClass: user\nobjectClass: computer\nuid: pc$\n", 0, "",
	  "", "empty-result" },

	{ "broken base64", PERSON("a") "cn:: QUJ\n\n" PERSON("b"), 0, "b []\n", "4 bad-base64 a\n",
	  NULL },
	{ "broken base64 that nobody asks for", PERSON("a") "jpegPhoto:: !!!!\n\n" PERSON("b"), 0,
	  "b []\n", "4 bad-base64 a\n", NULL },
	{ "padding inside", PERSON("a") "cn:: QQ==QUJD\n", 0, "", "4 bad-base64 a\n", NULL },
	{ "three paddings", PERSON("a") "cn:: Q===\n", 0, "", "4 bad-base64 a\n", NULL },
	{ "bits left over", PERSON("a") "cn:: QR==\n", 0, "", "4 bad-base64 a\n", NULL },
	{ "NUL", "dn: uid=a,dc=x\nobjectClass: person\nuid: a\ncn: a\0b\n\n" PERSON("b"),
	  sizeof("dn: uid=a,dc=x\nobjectClass: person\nuid: a\ncn: a\0b\n\n" PERSON("b")) - 1,
	  "b []\n", "4 nul-byte a\n", NULL },
	{ "NUL by base64", PERSON("a") "cn:: YQBi\n\n" PERSON("b"), 0, "b []\n", "4 nul-byte a\n",
	  NULL },
	{ "invalid UTF-8",
	  PERSON("a") "cn: Br\xff"
		      "ken\n\n" PERSON("b"),
	  0, "b []\n", "4 invalid-utf8 a\n", NULL },
	{ "invalid UTF-8 by base64", PERSON("a") "cn:: QnL/a2Vu\n\n" PERSON("b"), 0, "b []\n",
	  "4 invalid-utf8 a\n", NULL },
	{ "duplicate DN in another spelling",
	  PERSON("a") "\ndn: UID=A , DC=X\nobjectClass: person\nuid: other\n\n" PERSON("b"), 0,
	  "a []\nb []\n", "5 duplicate-dn other\n", NULL },
	{ "duplicate key",
	  PERSON("a") "\ndn: cn=x,dc=x\nobjectClass: person\nuid: A\n\n" PERSON("b"), 0,
	  "a []\nb []\n", "5 duplicate-key\n", NULL },
	{ "duplicate of a bad one", PERSON("a") "cn:: !\n\n" PERSON("a"), 0, "",
	  "4 bad-base64 a\n6 duplicate-dn\n", NULL },
	{ "missing key", "dn: cn=a,dc=x\nobjectClass: person\n\n" PERSON("b"), 0, "b []\n",
	  "1 missing-key\n", NULL },
	{ "two keys", PERSON("a") "uid: b\n\n" PERSON("c"), 0, "c []\n", "1 ambiguous-key\n",
	  NULL },
	{ "no DN", "objectClass: person\nuid: a\n\n" PERSON("b"), 0, "b []\n", "1 missing-dn a\n",
	  NULL },
	{ "malformed DN", "dn: uid=a,,dc=x\nobjectClass: person\nuid: a\n\n" PERSON("b"), 0,
	  "b []\n", "1 invalid-dn a\n", NULL },
	{ "empty DN", "dn:\nobjectClass: person\nuid: a\n\n" PERSON("b"), 0, "b []\n",
	  "1 invalid-dn a\n", NULL },
	{ "invalid UTF-8 in the DN",
	  "dn: uid=\xff,dc=x\nobjectClass: person\nuid: a\n\n" PERSON("b"), 0, "b []\n",
	  "1 invalid-utf8 a\n", NULL },
	{ "line without colon", PERSON("a") "what is this\n\n" PERSON("b"), 0, "b []\n",
	  "4 malformed-line a\n", NULL },
	{ "no name", PERSON("a") ": x\n\n" PERSON("b"), 0, "b []\n", "4 malformed-line a\n", NULL },
	{ "rubbish between entries", PERSON("a") "\nrubbish\n\n" PERSON("b"), 0, "a []\nb []\n",
	  "5 malformed-line\n", NULL },
	{ "no empty line between entries", PERSON("a") PERSON("b") "\n" PERSON("c"), 0, "c []\n",
	  "4 malformed-line a\n4 malformed-line b\n", NULL },
	{ "file ends in mid-line", PERSON("a") "\ndn: uid=b,dc=x\nobjectClass: person\nuid: bert",
	  0, "a []\n", "7 cut-short bert\n", "cut-short" },
};

static void test_rows(void **state)
{
	struct seen *seen = support_seen();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct read_result result = read_text(rows[i].text, rows[i].size, "uid", seen);

		if (strcmp(strbuf_text(&seen->identities), rows[i].identities) != 0)
			fail_msg("%s:\n%s", rows[i].name, strbuf_text(&seen->identities));
		if (strcmp(strbuf_text(&seen->quarantined), rows[i].quarantined) != 0)
			fail_msg("%s: quarantined\n%s", rows[i].name,
				 strbuf_text(&seen->quarantined));
		if (strcmp(result.reason, rows[i].incomplete ? rows[i].incomplete : "") != 0)
			fail_msg("%s: %s: %s", rows[i].name, result.reason, result.detail);
		assert_int_equal(result.complete, rows[i].incomplete == NULL);
	}
	support_seen_free(seen);
}

static void test_keys(void **state)
{
	static const char text[] = PERSON("Anna") "entryUUID: ABC\n\n" PERSON("b");
	struct seen *seen = support_seen();

	(void)state;
	read_text(text, 0, "dn", seen);
	assert_string_equal(strbuf_text(&seen->identities), "uid=anna,dc=x []\nuid=b,dc=x []\n");
	read_text(text, 0, "entryUUID", seen);
	assert_string_equal(strbuf_text(&seen->identities), "abc []\n");
	assert_string_equal(strbuf_text(&seen->quarantined), "6 missing-key\n");
	read_text(text, 0, "UID", seen);
	assert_string_equal(strbuf_text(&seen->identities), "anna []\nb []\n");
	support_seen_free(seen);
}

static void test_groups(void **state)
{
	static const char text[] = PERSON("a") "\n" PERSON("b") "\n" PERSON(
		"c") "\n"
		     "dn: cn=All,dc=x\nobjectClass: groupOfNames\nmember: cn=staff, dc=x\nmember: uid=C,dc=x\n"
		     "member: not a dn\n\n"
		     "dn: cn=Staff,dc=x\nobjectClass: groupOfUniqueNames\n"
		     "uniqueMember: uid=a,dc=x#'0101'B\nuniqueMember: cn=cycle,dc=x\n\n"
		     "dn: cn=cycle,dc=x\nobjectClass: groupOfNames\nmember: cn=staff,dc=x\n\n"
		     "dn: cn=unix,dc=x\nobjectClass: posixGroup\n"
		     "entryUUID: 11111111-2222-3333-4444-555555555555\nmemberUid: B\nmemberUid: a\n";
	struct seen *seen = support_seen();
	struct read_result result = read_text(text, 0, "uid", seen);

	(void)state;
	assert_true(result.complete);
	assert_int_equal(result.groups, 4);
	assert_int_equal(result.entries, 3);
	assert_string_equal(strbuf_text(&seen->identities), "a [1,2,3]\nb [3]\nc [1]\n");
	assert_string_equal(strbuf_text(&seen->groups),
			    "3 found 2\n1 found 2\n4 gone 0\n2 found 1\n");
	assert_string_equal(strbuf_text(&seen->quarantined), "");
	support_seen_free(seen);
}

static void test_damaged_groups(void **state)
{
	static const struct {
		const char *name, *group, *identities, *quarantined;
	} cases[] = {
		{ "a member line is lost: only this group is in doubt",
		  "dn: cn=staff,dc=x\nobjectClass: groupOfNames\nmember: uid=a,dc=x\nmember:: !\n",
		  "a [2]\nb [] groups?\n", "4 bad-base64\n" },
		{ "another line is bad: the members are known",
		  "dn: cn=staff,dc=x\nobjectClass: groupOfNames\nmember: uid=a,dc=x\ncn:: !\n",
		  "a [2]\nb []\n", "4 bad-base64\n" },
		{ "a part of the members: they are, and the rest is in doubt",
		  "dn: cn=staff,dc=x\nobjectClass: group\nmember;range=0-0: uid=a,dc=x\n",
		  "a [2]\nb [] groups?\n", "3 attribute-cut\n" },
		{ "all members, told as a range",
		  "dn: cn=staff,dc=x\nobjectClass: group\nmember;range=0-*: uid=a,dc=x\n",
		  "a [2]\nb []\n", "" },
		{ "an object class is lost: it is a group all the same",
		  "dn: cn=staff,dc=x\nobjectClass: top\nobjectClass:: !\nmember: uid=a,dc=x\n",
		  "a [2]\nb []\n", "3 bad-base64\n" },
		{ "the name is lost: all are in doubt",
		  "dn:: !\nobjectClass: groupOfNames\nmember: uid=a,dc=x\n",
		  "a [] groups?\nb [] groups?\n", "1 bad-base64\n" },
		{ "a group that no rule names is in nobody's way",
		  "dn: cn=else,dc=x\nobjectClass: groupOfNames\nmember:: !\n", "a []\nb []\n",
		  "3 bad-base64\n" },
		{ "twice: the first one counts, the rest is in doubt",
		  "dn: cn=staff,dc=x\nobjectClass: groupOfNames\nmember: uid=a,dc=x\n\n"
		  "dn: CN=staff,dc=x\nobjectClass: groupOfNames\nmember: uid=b,dc=x\n",
		  "a [2]\nb [] groups?\n", "5 duplicate-dn\n" },
	};
	struct seen *seen = support_seen();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf text = STRBUF(65536);

		strbuf_printf(&text, "%s\n%s", cases[i].group, PERSON("a") "\n" PERSON("b"));
		assert_true(read_text(text.data, 0, "uid", seen).complete);
		if (strcmp(strbuf_text(&seen->identities), cases[i].identities) != 0)
			fail_msg("%s:\n%s", cases[i].name, strbuf_text(&seen->identities));
		if (strstr(strbuf_text(&seen->quarantined), cases[i].quarantined) == NULL)
			fail_msg("%s: quarantined\n%s", cases[i].name,
				 strbuf_text(&seen->quarantined));
	}
	support_seen_free(seen);
}

static void test_disabled(void **state)
{
	static const char text[] =
		PERSON("a") "nsAccountLock: true\n\n" PERSON("b") "nsAccountLock: FALSE\n\n" PERSON("c") "userAccountControl: 514\n\n" PERSON("d") "userAccountControl: 512\n\n" PERSON(
			"e") "pwdAccountLockedTime: 000001010000Z\n\n" PERSON("f") "pwdAccountLockedTime: 20260101000000Z\n\n" PERSON("g") "employeeStatus: Left\n\n" PERSON("h") "employeeStatus: active\n";
	struct located markers[] = { LOCATED("employeeStatus=retired"),
				     LOCATED("employeeStatus=left"), LOCATED("nsAccountLock"),
				     LOCATED("userAccountControl"),
				     LOCATED("pwdAccountLockedTime") };
	struct ldif_source source = make_source(support_write("d.ldif", text, 0), "uid");
	struct seen *seen = support_seen();
	struct read_result result;
	struct err err;

	(void)state;
	source.disabled = (struct located_list){ ARRAY_LEN(markers), markers };
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_string_equal(strbuf_text(&seen->identities),
			    "a [] disabled:nsAccountLock\nb []\nc [] disabled:userAccountControl\n"
			    "d []\ne [] disabled:pwdAccountLockedTime\nf []\n"
			    "g [] disabled:employeeStatus=left\nh []\n");
	support_seen_free(seen);
}

/* Not given: the markers of all vendors, as a directory read over LDAP has them. */
static void test_usual_markers(void **state)
{
	static const char text[] =
		PERSON("a") "nsAccountLock: true\n\n" PERSON("b") "shadowExpire: 1\n\n" PERSON(
			"c") "accountExpires: 116444736010000000\n\n" PERSON("d") "accountExpires: 9223372036854775807\n";
	struct located none[] = { LOCATED("none") };
	struct ldif_source source = make_source(support_write("m.ldif", text, 0), "uid");
	struct seen *seen = support_seen();
	struct read_result result;
	struct err err;

	(void)state;
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_string_equal(strbuf_text(&seen->identities),
			    "a [] disabled:nsAccountLock\nb [] disabled:shadowExpire@86400\n"
			    "c [] disabled:accountExpires@1\nd []\n");
	support_seen_clear(seen);
	source.disabled = (struct located_list){ 1, none };
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_string_equal(strbuf_text(&seen->identities), "a []\nb []\nc []\nd []\n");
	support_seen_free(seen);
}

/* A 16-byte objectGUID, in base64 or because its bytes allow it plainly, is the vendor's text. */
static void test_guids(void **state)
{
	static const char text[] =
		"dn: cn=a,dc=x\nobjectClass: user\nobjectGUID:: MyIRAFVEd2aImaq7zN3u/w==\n\n"
		"dn: cn=b,dc=x\nobjectClass: user\nobjectGUID: 0123456789abcdef\n\n"
		"dn: cn=c,dc=x\nobjectClass: user\n"
		"objectGUID: AAAAAAAA-0000-0000-0000-00000000000C\n\n"
		"dn: cn=d,dc=x\nobjectClass: user\nobjectGUID:: //8=\n\n"
		"dn: cn=g,dc=x\nobjectClass: group\nmember: cn=a,dc=x\n"
		"objectGUID:: EREREiIiMzNERFVVVVVVVQ==\n";
	struct seen *seen = support_seen();

	(void)state;
	read_text(text, 0, "objectGUID", seen);
	assert_string_equal(strbuf_text(&seen->identities),
			    "00112233-4455-6677-8899-aabbccddeeff []\n"
			    "33323130-3534-3736-3839-616263646566 []\n"
			    "aaaaaaaa-0000-0000-0000-00000000000c []\n");
	assert_string_equal(strbuf_text(&seen->quarantined), "15 invalid-utf8\n");
	support_seen_free(seen);
}

static void test_group_ids(void **state)
{
	static const struct {
		const char *name, *line, *groups;
	} cases[] = {
		{ "entryUUID", "entryUUID: 11111111-2222-3333-4444-555555555555\n", "a [3]\n" },
		{ "objectGUID", "objectGUID:: ERERESIiMzNERFVVVVVVVQ==\n", "a [3]\n" },
		{ "an id is no name", "entryUUID: cn=staff,dc=x\n", "a []\n" },
	};
	struct seen *seen = support_seen();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf text = STRBUF(65536);

		strbuf_printf(&text,
			      "dn: cn=g,dc=x\nobjectClass: group\nmember: uid=a,dc=x\n%s\n%s",
			      cases[i].line, PERSON("a"));
		read_text(text.data, 0, "uid", seen);
		if (strcmp(strbuf_text(&seen->identities), cases[i].groups) != 0)
			fail_msg("%s: %s", cases[i].name, strbuf_text(&seen->identities));
	}
	support_seen_free(seen);
}

/* Quarantined under its key: whoever is only too large is not gone. */
static void test_record_too_large(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(64 * 1024 * 1024);
	struct seen *seen = support_seen();

	(void)state;
	strbuf_puts(&text, PERSON("a"));
	for (char c = '1'; c <= '3'; c++) {
		strbuf_printf(&text, "description: %c", c);
		for (size_t i = 0; i < 6 * 1024; i++)
			strbuf_printf(&text, "%01024d", 0);
		strbuf_putc(&text, '\n');
	}
	assert_false(strbuf_failed(&text));
	assert_true(read_text(text.data, text.size, "uid", seen).complete);
	assert_string_equal(strbuf_text(&seen->identities), "");
	assert_string_equal(strbuf_text(&seen->quarantined), "1 too-large a\n");
	support_seen_free(seen);
}

static void test_settings(void **state)
{
	static const char text[] =
		"dn: uid=a,ou=in,dc=x\nobjectClass: staffMember\nuid: a\n\n"
		"dn: uid=b,ou=out,dc=x\nobjectClass: staffMember\nuid: b\n\n"
		"dn: uid=c,ou=in,dc=x\nobjectClass: person\nuid: c\n\n"
		"dn: cn=staff,dc=x\nobjectClass: groupOfNames\nmember: uid=a,ou=in,dc=x\n";
	struct located classes[] = { LOCATED("STAFFMEMBER") };
	struct ldif_source source = make_source(support_write("s.ldif", text, 0), "uid");
	struct seen *seen = support_seen();
	struct read_result result;
	struct err err;

	(void)state;
	source.base = LOCATED("OU=in, DC=x");
	source.user_classes = (struct located_list){ 1, classes };
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_string_equal(strbuf_text(&seen->identities), "a []\n");
	assert_int_equal(result.groups, 0);
	support_seen_free(seen);
}

static void test_canaries(void **state)
{
	struct located canaries[] = { LOCATED("b"), LOCATED("UID=a, dc=x"), LOCATED("c") };
	struct ldif_source source =
		make_source(support_write("c.ldif", PERSON("a") "\n" PERSON("b"), 0), "uid");
	struct seen *seen = support_seen();
	struct read_result result;
	struct err err;

	(void)state;
	source.common.canaries = (struct located_list){ 2, canaries };
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_true(result.complete);
	source.common.canaries = (struct located_list){ 3, canaries };
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_false(result.complete);
	assert_string_equal(result.reason, "canary-missing");
	assert_non_null(strstr(result.detail, "'c'"));
	support_seen_free(seen);
}

static void put_long(struct strbuf *out, size_t size, bool folded)
{
	for (size_t i = 0; i < size; i++) {
		if (folded && i % 76 == 75)
			strbuf_puts(out, "\n ");
		strbuf_putc(out, 'a');
	}
}

static void test_long_lines(void **state)
{
	static const struct {
		size_t size;
		bool folded;
		const char *quarantined;
	} cases[] = {
		{ FILE_LINE_MAX - 3, false, "" },
		{ FILE_LINE_MAX - 3, true, "" },
		{ 10u * 1024 * 1024, false, "4 line-too-long a\n" },
		{ 10u * 1024 * 1024, true, "4 line-too-long a\n" },
		{ FILE_LINE_MAX + 1, false, "4 line-too-long a\n" },
		{ FILE_LINE_MAX + 1, true, "4 line-too-long a\n" },
	};
	struct seen *seen = support_seen();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf text = STRBUF(64u * 1024 * 1024);
		struct read_result result;

		strbuf_puts(&text, PERSON("a") "x: ");
		put_long(&text, cases[i].size, cases[i].folded);
		strbuf_puts(&text, "\ncn: A\n\n" PERSON("b"));
		assert_false(strbuf_failed(&text));
		result = read_text(text.data, text.size, "uid", seen);
		assert_true(result.complete);
		assert_string_equal(strbuf_text(&seen->quarantined), cases[i].quarantined);
		assert_string_equal(strbuf_text(&seen->identities),
				    cases[i].quarantined[0] ? "b []\n" : "a cn=A []\nb []\n");
	}
	support_seen_free(seen);
}

/* One ligature folds to eighteen letters: a key that grows far beyond its line spoils nothing else. */
static void test_key_that_grows(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(FILE_LINE_MAX);
	struct seen *seen = support_seen();
	struct read_result result;

	(void)state;
	strbuf_puts(&text, "dn: uid=a,dc=x\nobjectClass: person\nuid: ");
	for (size_t i = 0; i < 1024 * 1024; i++)
		strbuf_puts(&text, "\xef\xb7\xba");
	strbuf_puts(&text, "\n\n" PERSON("b"));
	assert_false(strbuf_failed(&text));
	result = read_text(text.data, text.size, "uid", seen);
	assert_true(result.complete);
	assert_string_equal(strbuf_text(&seen->quarantined), "1 key-too-long\n");
	assert_string_equal(strbuf_text(&seen->identities), "b []\n");
	support_seen_free(seen);
}

/* Any cut of a file: nothing crashes, and only a cut between lines of people is a whole read. */
static void test_every_cut(void **state)
{
	static const char text[] =
		"version: 1\n" PERSON("a") "cn:: QUJD\ntitle: x\n  y\n\n" PERSON("b");
	struct seen *seen = support_seen();

	(void)state;
	for (size_t size = 1; size < sizeof(text); size++) {
		struct read_result result = read_text(text, size, "uid", seen);

		assert_int_equal(result.complete, text[size - 1] == '\n' && result.entries > 0);
	}
	support_seen_free(seen);
}

static void test_unreadable(void **state)
{
	struct ldif_source source = make_source("/nonexistent/file.ldif", "uid");
	struct seen *seen = support_seen();
	struct read_result result;
	struct err err;

	(void)state;
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_false(result.complete);
	assert_string_equal(result.reason, "not-found");
	source.path = LOCATED(support_folder());
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_false(result.complete);
	assert_string_equal(result.reason, "read-error");
	source.path = LOCATED("/dev/null");
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_false(result.complete);
	support_seen_free(seen);
}

/* The receiver appends to the file: what was read is not what is there. */
static int change_file(void *context, const void *record, size_t size, struct err *err)
{
	FILE *file = fopen(context, "ae");

	(void)record;
	(void)size;
	(void)err;
	assert_non_null(file);
	fputs("\n", file);
	return fclose(file);
}

static void test_changed_while_read(void **state)
{
	const char *path = support_write("w.ldif", PERSON("a"), 0);
	struct ldif_source source = make_source(path, "uid");
	struct intake intake = support_counting_intake(NULL);
	struct read_result result;
	struct err err;

	(void)state;
	intake.context = (void *)path;
	intake.identity = change_file;
	assert_int_equal(ldif_read(&source, usual, ARRAY_LEN(usual), groups, ARRAY_LEN(groups),
				   &intake, &result, &err),
			 0);
	assert_false(result.complete);
	assert_string_equal(result.reason, "file-changed");
}

static const char mixture[] = PERSON("a") "\n" PERSON(
	"b") "cn:: !\n\n"
	     "dn: cn=staff,dc=x\nobjectClass: groupOfNames\nmember: uid=a,dc=x\n\n"
	     "dn: cn=M\xc3\xbcller\\, A,dc=x\nobjectClass: person\nuid:: w7w=\ndescription: long\n er\n";

static void test_receiver_fails(void **state)
{
	struct ldif_source source = make_source(support_write("f.ldif", mixture, 0), "uid");
	struct seen *seen = support_seen();
	struct read_result result = { .entries = 77 };
	struct err err;
	long n = 0;

	(void)state;
	for (;; n++) {
		seen->fail_after = n;
		if (read_source(&source, seen, &result, &err) == 0)
			break;
		assert_string_equal(err.text, "the test says no");
		assert_int_equal(result.entries, 77);
	}
	assert_int_equal(n, 7);
	support_seen_free(seen);
}

static void test_every_allocation_may_fail(void **state)
{
	struct ldif_source source = make_source(support_write("m.ldif", mixture, 0), "uid");
	int identities = 0;
	struct intake intake = support_counting_intake(&identities);
	struct read_result result;
	struct err err;
	long n = 0;

	(void)state;
	for (;; n++) {
		int status;

		identities = 0;
		alloc_fail_after(n);
		status = ldif_read(&source, usual, ARRAY_LEN(usual), groups, ARRAY_LEN(groups),
				   &intake, &result, &err);
		if (alloc_fail_after(-1) >= 0) {
			assert_int_equal(status, 0);
			assert_int_equal(identities, 2);
			break;
		}
		/* A read without memory never looks like a whole one with fewer people. */
		if (status == 0 && result.complete)
			assert_true(identities == 2 || result.quarantined > 1);
	}
	assert_true(n > 20);
}

static void test_cancelled(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 20);
	struct seen *seen = support_seen();
	struct ldif_source source;
	struct read_result result;
	struct err err;

	(void)state;
	for (int i = 0; i < 2000; i++)
		strbuf_printf(&text, "dn: uid=u%d,dc=x\nobjectClass: person\nuid: u%d\n\n", i, i);
	source = make_source(support_write("x.ldif", text.data, text.size), "uid");
	seen->cancel = true;
	assert_int_equal(read_source(&source, seen, &result, &err), -1);
	assert_int_equal(err.code, ERR_CANCELLED);
	support_seen_free(seen);
}

static int teardown(void **state)
{
	(void)state;
	support_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_damaged_groups),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_usual_markers),
		cmocka_unit_test(test_guids),
		cmocka_unit_test(test_group_ids),
		cmocka_unit_test(test_record_too_large),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_canaries),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_key_that_grows),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_changed_while_read),
		cmocka_unit_test(test_receiver_fails),
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
