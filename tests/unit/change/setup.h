/* Setups from YAML: catalogue, identity, policy, sources without settings of their kind. Also for tests of auth. */
#ifndef TESTS_CHANGE_SETUP_H
#define TESTS_CHANGE_SETUP_H

#include <sys/resource.h>

#include <rolebridge/change/changer.h>

/* One reference; groups known to the store at that path, if there is one, keep their numbers. */
struct setup *test_setup_create(const char *path, const char *yaml);
void test_folder_remove(const char *path);
/* A full disk: no file grows beyond this; RLIM_INFINITY: as before. */
void test_limit_files(rlim_t size);
/* Of a store and its log, in bytes. */
rlim_t test_largest_file(const char *path);

extern const struct actor test_person;

#endif
