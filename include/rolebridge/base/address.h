/*
 * IP addresses and networks, in the one strict spelling: what inet_pton takes, no zone, no 127.1, no octal.
 * An IPv4 address in IPv6 clothes (::ffff:10.0.0.1) is that IPv4 address everywhere.
 */
#ifndef ROLEBRIDGE_BASE_ADDRESS_H
#define ROLEBRIDGE_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>

struct sockaddr;

struct address {
	bool v6;
	unsigned char byte[16]; /* IPv4: the first four */
};

#define ADDRESS_TEXT_SIZE 46

/* "192.0.2.1", "2001:db8::1"; ERR_INVALID for all else. */
int address_parse(const char *text, struct address *ret_address, struct err *err);
/* "127.0.0.1:80", "[::1]:443"; port 0 to 65535. */
int address_parse_port(const char *text, struct address *ret_address, uint16_t *ret_port,
		       struct err *err);
/* false: neither AF_INET nor AF_INET6. */
bool address_from_socket(const struct sockaddr *socket, struct address *ret_address);
void address_format(const struct address *address, char ret_text[static ADDRESS_TEXT_SIZE]);
bool address_equal(const struct address *a, const struct address *b);

/*
 * What keeps an address from being a place in the public Internet: "unspecified", "loopback", "private",
 * "shared" (carrier NAT), "link-local", "multicast", "reserved" (documentation, benchmarks, tunnels …).
 * An address that carries an IPv4 address (NAT64, 6to4) is what that one is. NULL: public.
 */
const char *address_special(const struct address *address);
static inline bool address_is_public(const struct address *address)
{
	return !address_special(address);
}
bool address_is_loopback(const struct address *address);

struct cidr {
	struct address network;
	unsigned prefix;
};

/* "10.0.0.0/8", "fd00::/8", or one address. Bits behind the prefix must be zero: ERR_INVALID. */
int cidr_parse(const char *text, struct cidr *ret_cidr, struct err *err);
bool cidr_contains(const struct cidr *cidr, const struct address *address);

#endif
