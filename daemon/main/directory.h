/*
 * Signing in with the password of a directory: which source is asked, how many are asked at a time, and how many wrong
 * passwords of one person are passed on, so that no directory locks anybody out because of us.
 */
#ifndef ROLEBRIDGE_MAIN_DIRECTORY_H
#define ROLEBRIDGE_MAIN_DIRECTORY_H

#include <rolebridge/api/web.h>
#include <rolebridge/change/changer.h>

struct directory_service;

struct directory_service *directory_service_create(struct changer *changer, struct err *err);
void directory_service_destroy(struct directory_service *service); /* NULL is fine */
struct directory_ports directory_service_ports(struct directory_service *service);

#endif
