/*
 * What of CBOR is let through to libcbor and libfido2: the canonical form of CTAP2 (CTAP 2.1, section 8), as every
 * browser writes it. Lengths are given and lie within the bytes, so that nobody allocates for what is not there.
 */
#ifndef ROLEBRIDGE_AUTH_CBOR_GATE_H
#define ROLEBRIDGE_AUTH_CBOR_GATE_H

#include <stddef.h>

/*
 * Bytes of the one data item at the beginning of data. 0: there is none, or not such a one: nested deeper than 4,
 * with lengths left open, numbers longer than they need be, tags, floats, text that is not UTF-8, a key twice,
 * or more than 64 elements in one.
 */
size_t cbor_gate(const unsigned char *data, size_t size);

#endif
