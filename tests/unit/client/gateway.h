/* An HTTP server on loopback that keeps what it is sent, and answers as told. */
#ifndef TESTS_CLIENT_GATEWAY_H
#define TESTS_CLIENT_GATEWAY_H

#include <stdint.h>

struct gateway;

/* answer: all of it, as it goes over the wire; NULL: none, connections wait until gateway_stop. */
struct gateway *gateway_start(const char *answer);
void gateway_stop(struct gateway *gateway);
uint16_t gateway_port(const struct gateway *gateway);
/* Blocks until so many requests have arrived whole. */
void gateway_wait(struct gateway *gateway, unsigned count);
unsigned gateway_count(struct gateway *gateway);
/* The latest, head and body; as long as no other comes. */
const char *gateway_request(struct gateway *gateway);

#endif
