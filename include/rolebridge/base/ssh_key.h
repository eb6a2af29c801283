/*
 * Public keys of SSH as directories and people write them: one line, "type base64 comment".
 *
 * What leaves goes to sshd, which would do what options before the type say (command=, environment=): they
 * are refused, not dropped. So is whatever is not one whole key of a type that is known here, or too weak.
 */
#ifndef ROLEBRIDGE_BASE_SSH_KEY_H
#define ROLEBRIDGE_BASE_SSH_KEY_H

#include <stddef.h>

#include <rolebridge/base/err.h>

struct strbuf;

#define SSH_KEY_LINE_MAX 8192
#define SSH_KEY_RSA_BITS_MIN 2048
#define SSH_KEY_RSA_BITS_MAX 16384

struct ssh_key {
	const char *type;   /* static */
	const char *base64; /* borrowed from the line */
	size_t base64_size;
	unsigned bits;
};

/*
 * One key. Space and line breaks around the line are passed over. ERR_INVALID with reason: "key-lines" (more than one,
 * or control characters), "key-type" (also: options, certificates, private keys), "key-encoding" (base64 that is not
 * whole and canonical), "key-malformed" (not one key of that type to its last byte), "key-weak". The text
 * of the error shows nothing of the line, which may be a private key put there by mistake.
 */
int ssh_key_parse(const char *line, size_t size, struct ssh_key *ret_key, struct err *err);

/* "type base64" without comment and line break: all that sshd needs. */
void ssh_key_write(const struct ssh_key *key, struct strbuf *out);

#endif
