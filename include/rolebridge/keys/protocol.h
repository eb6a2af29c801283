/*
 * What rolebridge-authorized-keys and the daemon say to each other over a unix socket: one question, one
 * answer, in the frames of base/message.h. Neither side believes more of the other than it has to: each message is
 * read to its last byte.
 *
 * Question: u8 version, text account, u32 uid. Answer: u8 version, varint lines, lines × text, each one key
 * without options, comment and line break. Whoever may have no keys now gets none, without a reason.
 */
#ifndef ROLEBRIDGE_KEYS_PROTOCOL_H
#define ROLEBRIDGE_KEYS_PROTOCOL_H

#include <stdint.h>

#define KEYS_VERSION 1
#define KEYS_QUESTION 1
#define KEYS_ANSWER 2
#define KEYS_QUESTION_MAX 256
#define KEYS_ANSWER_MAX (1024 * 1024)
/* Keys of one account. */
#define KEYS_MAX 64
/* sshd knew no uid. */
#define KEYS_NO_UID UINT32_MAX

#define KEYS_SOCKET_DEFAULT "/run/rolebridge/keys.sock"

#endif
