/*
 * IP addresses and networks. Enters: text or a socket address. Leaves: bytes in network order, IPv4-mapped
 * ones as IPv4. Fails on every spelling but the canonical family of inet_pton. What is special is
 * one table each for IPv4 and IPv6 (RFC 6890 and the registries that follow it).
 */
#include <rolebridge/base/address.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <rolebridge/base/util.h>

static const unsigned char mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static size_t address_size(const struct address *address)
{
	return address->v6 ? 16 : 4;
}

static struct address address_from_v6(const unsigned char *bytes)
{
	struct address address = { .v6 = memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) != 0 };

	if (address.v6)
		memcpy(address.byte, bytes, 16);
	else
		memcpy(address.byte, bytes + 12, 4);
	return address;
}

static bool address_read(const char *text, struct address *ret_address)
{
	struct address v4 = { 0 };
	unsigned char v6[16];

	if (inet_pton(AF_INET, text, v4.byte) == 1)
		*ret_address = v4;
	else if (inet_pton(AF_INET6, text, v6) == 1)
		*ret_address = address_from_v6(v6);
	else
		return false;
	return true;
}

int address_parse(const char *text, struct address *ret_address, struct err *err)
{
	if (!address_read(text, ret_address))
		return err_set(err, ERR_INVALID, "'%.64s' is not an IP address", text);
	return 0;
}

/* Digits only, no sign, no leading zero: below or equal max. */
static bool number_read(const char *text, unsigned max, unsigned *ret_number)
{
	unsigned number = 0;

	if (!text[0] || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		number = number * 10 + (unsigned)(*text - '0');
		if (number > max)
			return false;
	}
	*ret_number = number;
	return true;
}

int address_parse_port(const char *text, struct address *ret_address, uint16_t *ret_port,
		       struct err *err)
{
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[';
	char host[ADDRESS_TEXT_SIZE];
	struct address address;
	unsigned port;
	size_t size = colon ? (size_t)(colon - text) : 0;

	if (bracket && (size < 2 || text[size - 1] != ']'))
		size = 0;
	if (bracket && size > 0) {
		text++;
		size -= 2;
	}
	if (size == 0 || size >= sizeof(host))
		return err_set(err, ERR_INVALID, "'%.64s' is not like 127.0.0.1:80 or [::1]:80",
			       text);
	memcpy(host, text, size);
	host[size] = 0;
	/* A colon in the host means IPv6, which needs its brackets, and nothing else has them. */
	if (!address_read(host, &address) || (strchr(host, ':') != NULL) != bracket ||
	    !number_read(colon + 1, 65535, &port))
		return err_set(err, ERR_INVALID, "'%.64s' is not like 127.0.0.1:80 or [::1]:80",
			       text);
	*ret_address = address;
	*ret_port = (uint16_t)port;
	return 0;
}

bool address_from_socket(const struct sockaddr *socket, struct address *ret_address)
{
	struct address v4 = { 0 };

	if (socket->sa_family == AF_INET) {
		memcpy(v4.byte, &((const struct sockaddr_in *)(const void *)socket)->sin_addr, 4);
		*ret_address = v4;
		return true;
	}
	if (socket->sa_family != AF_INET6)
		return false;
	*ret_address = address_from_v6(
		((const struct sockaddr_in6 *)(const void *)socket)->sin6_addr.s6_addr);
	return true;
}

void address_format(const struct address *address, char ret_text[static ADDRESS_TEXT_SIZE])
{
	if (!inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->byte, ret_text,
		       ADDRESS_TEXT_SIZE))
		ret_text[0] = 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->v6 == b->v6 && memcmp(a->byte, b->byte, address_size(a)) == 0;
}

/* ------------------------------------------------------------- networks -- */

static bool bits_equal(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

int cidr_parse(const char *text, struct cidr *ret_cidr, struct err *err)
{
	const char *slash = strchr(text, '/');
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	char host[ADDRESS_TEXT_SIZE];
	struct cidr cidr;

	if (size >= sizeof(host))
		return err_set(err, ERR_INVALID, "'%.64s' is not a network like 10.0.0.0/8", text);
	memcpy(host, text, size);
	host[size] = 0;
	if (!address_read(host, &cidr.network))
		return err_set(err, ERR_INVALID, "'%.64s' is not a network like 10.0.0.0/8", text);

	unsigned max = (unsigned)address_size(&cidr.network) * 8;

	cidr.prefix = max;
	/* ::ffff:10.0.0.0/104: which of the two families the prefix counts in would be a guess. */
	if (slash && !cidr.network.v6 && strchr(host, ':'))
		return err_set(err, ERR_INVALID, "'%.64s': write IPv4 networks as IPv4", text);
	if (slash && !number_read(slash + 1, max, &cidr.prefix))
		return err_set(err, ERR_INVALID, "'%.64s': the prefix is a number from 0 to %u",
			       text, max);
	for (unsigned bit = cidr.prefix; bit < max; bit++) {
		if (cidr.network.byte[bit / 8] & (0x80u >> bit % 8))
			return err_set(err, ERR_INVALID, "'%.64s' has bits behind its prefix",
				       text);
	}
	*ret_cidr = cidr;
	return 0;
}

bool cidr_contains(const struct cidr *cidr, const struct address *address)
{
	return cidr->network.v6 == address->v6 &&
	       bits_equal(cidr->network.byte, address->byte, cidr->prefix);
}

/* -------------------------------------------------------------- special -- */

struct special {
	const char *kind;
	unsigned prefix;
	unsigned char byte[16];
};

static const struct special special_v4[] = {
	{ "unspecified", 8, { 0 } },	     { "private", 8, { 10 } },
	{ "shared", 10, { 100, 64 } },	     { "loopback", 8, { 127 } },
	{ "link-local", 16, { 169, 254 } },  { "private", 12, { 172, 16 } },
	{ "reserved", 24, { 192, 0, 0 } },   { "reserved", 24, { 192, 0, 2 } },
	{ "reserved", 24, { 192, 88, 99 } }, { "private", 16, { 192, 168 } },
	{ "reserved", 15, { 198, 18 } },     { "reserved", 24, { 198, 51, 100 } },
	{ "reserved", 24, { 203, 0, 113 } }, { "multicast", 4, { 224 } },
	{ "reserved", 4, { 240 } },
};

static const struct special special_v6[] = {
	{ "loopback", 128, { [15] = 1 } },
	{ "unspecified", 128, { 0 } },
	{ "reserved", 96, { 0 } },			  /* IPv4-compatible */
	{ "private", 48, { 0, 0x64, 0xff, 0x9b, 0, 1 } }, /* local NAT64 */
	{ "reserved", 64, { 1 } },			  /* discard */
	{ "reserved", 23, { 0x20, 0x01 } },		  /* Teredo, ORCHID, benchmarks */
	{ "reserved", 32, { 0x20, 0x01, 0x0d, 0xb8 } },	  /* documentation */
	{ "reserved", 20, { 0x3f, 0xff } },		  /* documentation */
	{ "private", 7, { 0xfc } },			  /* unique local */
	{ "link-local", 10, { 0xfe, 0x80 } },
	{ "private", 10, { 0xfe, 0xc0 } }, /* site-local, deprecated */
	{ "multicast", 8, { 0xff } },
};

static const char *special_find(const struct special *rows, size_t count,
				const unsigned char *bytes)
{
	for (size_t i = 0; i < count; i++) {
		if (bits_equal(rows[i].byte, bytes, rows[i].prefix))
			return rows[i].kind;
	}
	return NULL;
}

/* Where an IPv6 address of a translation or tunnel carries the IPv4 address it leads to; 0: nowhere. */
static size_t embedded_at(const unsigned char *bytes)
{
	static const unsigned char nat64[12] = { 0, 0x64, 0xff, 0x9b };

	if (memcmp(bytes, nat64, sizeof(nat64)) == 0)
		return 12;
	return bytes[0] == 0x20 && bytes[1] == 0x02 ? 2 : 0;
}

const char *address_special(const struct address *address)
{
	const unsigned char *bytes = address->byte;

	if (address->v6) {
		size_t at = embedded_at(bytes);

		if (at == 0)
			return special_find(special_v6, ARRAY_LEN(special_v6), bytes);
		bytes += at;
	}
	return special_find(special_v4, ARRAY_LEN(special_v4), bytes);
}

bool address_is_loopback(const struct address *address)
{
	const char *kind = address_special(address);

	return kind && strcmp(kind, "loopback") == 0;
}
