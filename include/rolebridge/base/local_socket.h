/* Unix sockets by their path. */
#ifndef ROLEBRIDGE_BASE_LOCAL_SOCKET_H
#define ROLEBRIDGE_BASE_LOCAL_SOCKET_H

#include <rolebridge/base/err.h>

struct sockaddr_un;

/* ERR_TOO_LARGE: the path is empty, or longer than the kernel takes (107 bytes). */
int local_socket_address(const char *path, struct sockaddr_un *ret_address, struct err *err);

/*
 * A stream to who listens there; close-on-exec. send_timeout_ms: who does not read is not waited for any longer, nor is one
 * that does not accept; 0: for ever. ERR_UNAVAILABLE: nobody answers.
 */
int local_socket_connect(const char *path, int send_timeout_ms, int *ret_fd, struct err *err);

#endif
