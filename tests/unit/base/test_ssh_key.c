/* SSH public keys of a directory: one whole key of a known type, and nothing else whatever stands around it. */
#include <rolebridge/base/ssh_key.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

/* As ssh-keygen made them; those of tokens by hand, after PROTOCOL.u2f. */
#define KEY_ED "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKP/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlFO"
#define KEY_P256 \
	"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGhXy134hJrD" \
	"glFWjRvurrGAoPUfD6a1igIqrr/sZRf+tEbfGGjJOY4O/kqd8HPNRRfZiaZZdijqeQZ4qXHLuoI="
#define KEY_P384 \
	"ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBJRTCkAZfh0k" \
	"7UDM+IF+YU8jq/C+M+frRvs1YXnG8+0S2GN5ZqaP8pHZXHr8fQej5sr4Hb5t6HK0QU6AWQOrkK8hScC1kt10" \
	"xjykiPxX2a9XGSpw5BSDPeS+frwtzRC/eA=="
#define KEY_P521 \
	"ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBADP9pjRQLOd" \
	"2uf8vNCJM/8ooUdcIUanuaZaaFFWD3qJgRwnqgv1jPQ2DYFam1Ksm88edu5F9a2q5IU4WF0Xk+Eu2gHdn3zm" \
	"m67db6uXjV3AxEZGsHW8EJcXIqw44tKuYee6UOVGL4Bju1zN2RwZXeTYYHAD8O+xG0uUZU2oPQUZCKGzmg=="
#define KEY_RSA \
	"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC4j38C8qUyZlAKGeXB47GwVAaRh9CCp/CL/ndGRHzBZO4S" \
	"G3SA38j3swSMlXRgbvN3GraBSU5fzZgZtylvKA/hU7tZNUETkL5oAeQhLK4g5xOVj4eSvoqAfWajCaZTYF48" \
	"DRYk3yXOyMEcj+q6/bqMW2k9SIBdiNWtDFo0N/AxH9DYd0ItI86xVa5jKg60JlrpJJcig6NF+GpquSngabUb" \
	"2YYr9oBeTLvvYqW5SZKuNAT4WWjf0Y0s/nDO6oiy9UMIcBAj9k3AhRSj4E/xFUcNHIkhyH21P0NqCKV9OgrZ" \
	"ycnSr+iTLrJgnK2yt7tleINo2w+Kn1w/VloBk3RovLEx"
#define KEY_SK_ED \
	"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIKP/Up2vrOR7F" \
	"unGRLeocmh0NbXZ0riVQmJNATuGFlFOAAAABHNzaDo="
#define KEY_SK_P256 \
	"sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb" \
	"20AAAAIbmlzdHAyNTYAAABBBGhXy134hJrDglFWjRvurrGAoPUfD6a1igIqrr/sZRf+tEbfGGjJOY4O/kqd8" \
	"HPNRRfZiaZZdijqeQZ4qXHLuoIAAAAIc3NoOndvcms="

static void test_good(void **state)
{
	static const struct {
		const char *name, *line, *written;
		unsigned bits;
	} cases[] = {
		{ "ed25519", KEY_ED, KEY_ED, 256 },
		{ "nistp256", KEY_P256, KEY_P256, 256 },
		{ "nistp384", KEY_P384, KEY_P384, 384 },
		{ "nistp521", KEY_P521, KEY_P521, 521 },
		{ "rsa", KEY_RSA, KEY_RSA, 2048 },
		{ "ed25519 of a token", KEY_SK_ED, KEY_SK_ED, 256 },
		{ "nistp256 of a token", KEY_SK_P256, KEY_SK_P256, 256 },
		{ "a comment", KEY_ED " ada@example.com", KEY_ED, 256 },
		{ "a comment of words", KEY_ED " Ada's laptop, 2026", KEY_ED, 256 },
		{ "a comment in UTF-8", KEY_ED " \xc3\x85sa", KEY_ED, 256 },
		{ "a comment that looks like options", KEY_ED " command=\"sh\"", KEY_ED, 256 },
		{ "a line break behind", KEY_ED "\n", KEY_ED, 256 },
		{ "CR LF behind", KEY_ED "\r\n", KEY_ED, 256 },
		{ "space around", " \t" KEY_ED "  ", KEY_ED, 256 },
		{ "several spaces between",
		  "ssh-ed25519   AAAAC3NzaC1lZDI1NTE5AAAAIKP/Up2vrOR7FunGRLeocmh0"
		  "NbXZ0riVQmJNATuGFlFO",
		  KEY_ED, 256 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf written = STRBUF(SSH_KEY_LINE_MAX);
		struct err err = { 0 };
		struct ssh_key key;

		if (ssh_key_parse(cases[i].line, strlen(cases[i].line), &key, &err) < 0)
			fail_msg("%s: %s", cases[i].name, err.text);
		ssh_key_write(&key, &written);
		if (key.bits != cases[i].bits ||
		    strcmp(strbuf_text(&written), cases[i].written) != 0)
			fail_msg("%s: %u '%s'", cases[i].name, key.bits, strbuf_text(&written));
	}
}

static const struct {
	const char *name, *line, *reason;
} bad_cases[] = {
	{ "nothing", "", "key-lines" },
	{ "space", " \n", "key-lines" },
	{ "two lines", KEY_ED "\n" KEY_ED, "key-lines" },
	{ "another line in the comment", KEY_ED " x\n" KEY_P256, "key-lines" },
	{ "a carriage return inside", KEY_ED "\rx", "key-lines" },
	{ "a tab between", "ssh-ed25519\tAAAA", "key-lines" },
	{ "a control character", KEY_ED " \001", "key-lines" },
	{ "options", "command=\"sh\" " KEY_ED, "key-type" },
	{ "an option alone", "restrict " KEY_ED, "key-type" },
	{ "an authority", "cert-authority " KEY_ED, "key-type" },
	{ "a comment line", "#" KEY_ED, "key-type" },
	{ "a known hosts line", "host " KEY_ED, "key-type" },
	{ "a certificate", "ssh-ed25519-cert-v01@openssh.com AAAA", "key-type" },
	{ "a private key", "-----BEGIN OPENSSH PRIVATE KEY-----", "key-type" },
	{ "the type in capitals", "SSH-ED25519 AAAA", "key-type" },
	{ "the beginning of a type", "ssh-ed2551 AAAA", "key-type" },
	{ "no base64", "ssh-ed25519", "key-malformed" },
	{ "no base64, but a space", "ssh-ed25519 ", "key-malformed" },
	{ "base64 that is cut", "ssh-ed25519 AAAAC", "key-encoding" },
	{ "no padding", "ssh-rsa AA", "key-encoding" },
	{ "bits behind the end", "ssh-rsa AB==", "key-encoding" },
	{ "base64 for addresses", "ssh-rsa __==", "key-encoding" },
	{ "a byte that libsodium takes for a letter",
	  "ecdsa-sha2-nistp384 "
	  "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBJRTCkAZfh0k7UDM+IF+YU8jq/"
	  "C+M+frRvs1YXnG8+0S2GN5ZqaP8pHZXHr8fQej5sr4Hb5t6HK0QU6AWQOrkK8hScC1kt10xjykiPxX2a9XGSpw5"
	  "BSDPeS+frwtzRC/\367A==",
	  "key-encoding" },
	{ "a comma in it", "ssh-rsa AAAA,AAAA", "key-encoding" },
	{ "one byte more",
	  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKP/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlFOAA==",
	  "key-malformed" },
	{ "a point too short",
	  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAH6P/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlE=",
	  "key-malformed" },
	{ "a length past the end",
	  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIaP/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlFO",
	  "key-malformed" },
	{ "a huge length",
	  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5/////6P/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlFO",
	  "key-malformed" },
	{ "a point of order one",
	  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	  "key-weak" },
	{ "a point of zeros",
	  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	  "key-weak" },
	{ "another type inside",
	  "ssh-ed25519 AAAAB3NzaC1yc2EAAAAgo/9Sna+s5HsW6cZEt6hyaHQ1tdnSuJVCYk0BO4YWUU4=",
	  "key-malformed" },
	{ "nothing but the type", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "key-malformed" },
	{ "another curve inside",
	  "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAzODQAAABBBGhXy134hJrD"
	  "glFWjRvurrGAoPUfD6a1igIqrr/sZRf+tEbfGGjJOY4O/kqd8HPNRRfZiaZZdijqeQZ4qXHLuoI=",
	  "key-malformed" },
	{ "a compressed point",
	  "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAAhAmhXy134hJrD"
	  "glFWjRvurrGAoPUfD6a1igIqrr/sZRf+",
	  "key-malformed" },
	{ "exponent 1",
	  "ssh-rsa AAAAB3NzaC1yc2EAAAABAQAAAQEAuI9/AvKlMmZQChnlweOxsFQGkYfQgqfwi/53RkR8wWTuEht0"
	  "gN/I97MEjJV0YG7zdxq2gUlOX82YGbcpbygP4VO7WTVBE5C+aAHkISyuIOcTlY+Hkr6KgH1mowmmU2BePA0W"
	  "JN8lzsjBHI/quv26jFtpPUiAXYjVrQxaNDfwMR/Q2HdCLSPOsVWuYyoOtCZa6SSXIoOjRfhqarkp4Gm1G9mG"
	  "K/aAXky772KluUmSrjQE+Flo39GNLP5wzuqIsvVDCHAQI/ZNwIUUo+BP8RVHDRyJIch9tT9DagilfToK2cnJ"
	  "0q/oky6yYJytsre7ZXiDaNsPip9cP1ZaAZN0aLyxMQ==",
	  "key-weak" },
	{ "an even modulus",
	  "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC4j38C8qUyZlAKGeXB47GwVAaRh9CCp/CL/ndGRHzBZO4S"
	  "G3SA38j3swSMlXRgbvN3GraBSU5fzZgZtylvKA/hU7tZNUETkL5oAeQhLK4g5xOVj4eSvoqAfWajCaZTYF48"
	  "DRYk3yXOyMEcj+q6/bqMW2k9SIBdiNWtDFo0N/AxH9DYd0ItI86xVa5jKg60JlrpJJcig6NF+GpquSngabUb"
	  "2YYr9oBeTLvvYqW5SZKuNAT4WWjf0Y0s/nDO6oiy9UMIcBAj9k3AhRSj4E/xFUcNHIkhyH21P0NqCKV9OgrZ"
	  "ycnSr+iTLrJgnK2yt7tleINo2w+Kn1w/VloBk3RovLEC",
	  "key-weak" },
	{ "a negative modulus",
	  "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABALiPfwLypTJmUAoZ5cHjsbBUBpGH0IKn8Iv+d0ZEfMFk7hIb"
	  "dIDfyPezBIyVdGBu83catoFJTl/NmBm3KW8oD+FTu1k1QROQvmgB5CEsriDnE5WPh5K+ioB9ZqMJplNgXjwN"
	  "FiTfJc7IwRyP6rr9uoxbaT1IgF2I1a0MWjQ38DEf0Nh3Qi0jzrFVrmMqDrQmWukklyKDo0X4amq5KeBptRvZ"
	  "hiv2gF5Mu+9ipblJkq40BPhZaN/RjSz+cM7qiLL1QwhwECP2TcCFFKPgT/EVRw0ciSHIfbU/Q2oIpX06CtnJ"
	  "ydKv6JMusmCcrbK3u2V4g2jbD4qfXD9WWgGTdGi8sTE=",
	  "key-malformed" },
	{ "a padded modulus",
	  "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAgAAuI9/AvKlMmZQChnlweOxsFQGkYfQgqfwi/53RkR8wWTu"
	  "Eht0gN/I97MEjJV0YG7zdxq2gUlOX82YGbcpbygP4VO7WTVBE5C+aAHkISyuIOcTlY+Hkr6KgH1mowmmU2Be"
	  "PA0WJN8lzsjBHI/quv26jFtpPUiAXYjVrQxaNDfwMR/Q2HdCLSPOsVWuYyoOtCZa6SSXIoOjRfhqarkp4Gm1"
	  "G9mGK/aAXky772KluUmSrjQE+Flo39GNLP5wzuqIsvVDCHAQI/ZNwIUUo+BP8RVHDRyJIch9tT9DagilfToK"
	  "2cnJ0q/oky6yYJytsre7ZXiDaNsPip9cP1ZaAZN0aLyxMQ==",
	  "key-malformed" },
	{ "no exponent",
	  "ssh-rsa AAAAB3NzaC1yc2EAAAAAAAABAQC4j38C8qUyZlAKGeXB47GwVAaRh9CCp/CL/ndGRHzBZO4SG3SA"
	  "38j3swSMlXRgbvN3GraBSU5fzZgZtylvKA/hU7tZNUETkL5oAeQhLK4g5xOVj4eSvoqAfWajCaZTYF48DRYk"
	  "3yXOyMEcj+q6/bqMW2k9SIBdiNWtDFo0N/AxH9DYd0ItI86xVa5jKg60JlrpJJcig6NF+GpquSngabUb2YYr"
	  "9oBeTLvvYqW5SZKuNAT4WWjf0Y0s/nDO6oiy9UMIcBAj9k3AhRSj4E/xFUcNHIkhyH21P0NqCKV9OgrZycnS"
	  "r+iTLrJgnK2yt7tleINo2w+Kn1w/VloBk3RovLEx",
	  "key-malformed" },
	{ "a modulus of zero", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQA=", "key-malformed" },
	{ "1024 bits",
	  "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC3aZ65VYsA31NbMfdhnYDBHaYKQ/gYqRxS4VqQJFCVyP5V"
	  "jEYW2DtRk6llCf4xyPJaUOOgVcMcjFkqxH7mHb30x+rL53hT8XqYYUJJgyY/gxUF8ccauKKyvYuEEsfHUUlo"
	  "xxVPVoys6Iq9K7FcHVWzJAAY2+ZeI/jSDsGdVeUyAQ==",
	  "key-weak" },
	{ "DSA",
	  "ssh-dss AAAAB3NzaC1kc3MAAACBAPYx1jx4zo9Ivui6FcHjql6R0z8Qj3G4BGqbhDg4+xlsaBn7ZV9tnPAs"
	  "KBcaZfsKb3g5xj8m1KSJxeQZLZOFzwGIkx+6YM4TuhP1K8XRVHI+3O2e9LhzzuWz59/lsmipohRu//IoeaqK"
	  "CIw6X3Wf3KDQeRi/Af4DgDW07NOmrLRTAAAAFQC0uZ17BBPBTMcHwNEs3yooEubzswAAAIB8+xdr9+EDqdEa"
	  "OHTLcN6sF7hZHR5FJmG0QWOWKoxMuKfRYyAA4VN8l1DZoqV1hSc88BumZvGLwd3jfX4htNKglwor6Z+Uh+B5"
	  "mrATV1E9W8qwX1XHBOog03HjIOnm+WdYisARo4q2Q1RKGukwqhDa28FuSGjoqHUIgE7GEzgCDwAAAIEAkF3D"
	  "ZOfUNcVGV2nLyU1r/DHQNucz/i6WOfZc1IhPBqJ8pO0svjkXZ1PvMlLpDIF+38cprUbpO+xlGM9b997omMsa"
	  "xQu09WEOWiCGzt7hHAiCZY5FJXqX9WdvVNRMJTVc/oc5ZRnPJ4h8NuUOQmi+4RwtYOzsq/qcCKnH7av3eUU=",
	  "key-type" },
	{ "a web application's",
	  "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIKP/Up2vrOR7F"
	  "unGRLeocmh0NbXZ0riVQmJNATuGFlFOAAAACWh0dHBzOi8veA==",
	  "key-malformed" },
	{ "no application",
	  "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIKP/Up2vrOR7F"
	  "unGRLeocmh0NbXZ0riVQmJNATuGFlFO",
	  "key-malformed" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
		struct ssh_key key = { .bits = 7 };
		struct err err = { 0 };

		if (ssh_key_parse(bad_cases[i].line, strlen(bad_cases[i].line), &key, &err) == 0)
			fail_msg("%s: taken", bad_cases[i].name);
		if (!err.reason || strcmp(err.reason, bad_cases[i].reason) != 0 || key.bits != 7)
			fail_msg("%s: %s: %s", bad_cases[i].name, err.reason, err.text);
	}
}

/* Cut anywhere it is none. */
static void test_cut(void **state)
{
	static const char *const keys[] = { KEY_ED, KEY_P256, KEY_RSA, KEY_SK_ED, KEY_SK_P256 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t size = strlen(keys[i]);

		for (size_t cut = 0; cut < size; cut++) {
			struct ssh_key key;
			struct err err;

			if (ssh_key_parse(keys[i], cut, &key, &err) == 0)
				fail_msg("key %zu cut at %zu", i, cut);
		}
	}
}

/* It may be a private key, put there by mistake. */
static void test_error_shows_nothing(void **state)
{
	static const char *const lines[] = { "SECRETWORD x", "ssh-rsa SECRETWORD=",
					     "ssh-ed25519 SECRETWORDSECRETWORD", "x\nSECRETWORD" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct err err = { 0 };
		struct ssh_key key;

		assert_int_equal(ssh_key_parse(lines[i], strlen(lines[i]), &key, &err), -1);
		assert_null(strstr(err.text, "SECRETWORD"));
	}
}

static void test_too_long(void **state)
{
	size_t size = SSH_KEY_LINE_MAX + 1;
	char *line = malloc(size);
	struct err err = { 0 };
	struct ssh_key key;

	(void)state;
	assert_non_null(line);
	memset(line, 'x', size);
	memcpy(line, KEY_ED " ", sizeof(KEY_ED));
	assert_int_equal(ssh_key_parse(line, size - 1, &key, &err), 0);
	assert_int_equal(ssh_key_parse(line, size, &key, &err), -1);
	assert_string_equal(err.reason, "key-lines");
	free(line);
}

static void test_nul_inside(void **state)
{
	static const char line[] = KEY_ED "\0 x";
	struct err err = { 0 };
	struct ssh_key key;

	(void)state;
	assert_int_equal(ssh_key_parse(line, sizeof(line) - 1, &key, &err), -1);
	assert_string_equal(err.reason, "key-lines");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	 cmocka_unit_test(test_bad),
		cmocka_unit_test(test_cut),	 cmocka_unit_test(test_error_shows_nothing),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_nul_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
