/*
 * Functions that read or write past an end, cannot report an error, or start a
 * shell. The Makefile includes this file before every source file of ours; it
 * takes in the system headers that declare them first, so that only a call
 * fails: "implicit declaration of function 'banned_strcpy'".
 */
#ifndef ROLEBRIDGE_BASE_BANNED_H
#define ROLEBRIDGE_BASE_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef alloca
#undef atoi
#undef gets
#undef popen
#undef sprintf
#undef strcat
#undef strcpy
#undef strtok
#undef system
#undef vsprintf

#define alloca(...) banned_alloca(__VA_ARGS__)
#define atoi(...) banned_atoi(__VA_ARGS__)
#define gets(...) banned_gets(__VA_ARGS__)
#define popen(...) banned_popen(__VA_ARGS__)
#define sprintf(...) banned_sprintf(__VA_ARGS__)
#define strcat(...) banned_strcat(__VA_ARGS__)
#define strcpy(...) banned_strcpy(__VA_ARGS__)
#define strtok(...) banned_strtok(__VA_ARGS__)
#define system(...) banned_system(__VA_ARGS__)
#define vsprintf(...) banned_vsprintf(__VA_ARGS__)

#endif
