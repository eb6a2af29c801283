/* Setups from YAML: catalogue, identity, policy, sources without settings of their kind. Also for tests of auth. */
#ifndef TESTS_CHANGE_SETUP_H
#define TESTS_CHANGE_SETUP_H

#include <rolebridge/change/changer.h>

/* One reference; groups known to the store at that path, if there is one, keep their numbers. */
struct setup *test_setup_create(const char *path, const char *yaml);
void test_folder_remove(const char *path);

extern const struct actor test_person;

#endif
