# rolebridge: GNU make, nothing else. `make help` lists the targets.
#
# Every folder of daemon/ becomes one static library, objects and all results
# lie in $(BUILD). A folder without sources is left out; new files and folders
# are found by themselves, only DEPS_<folder> below says what may use what.

CC = gcc
BUILD = build
PREFIX = /usr/local
DESTDIR =
SANITIZE =
WERROR =
FUZZ_SECONDS = 10
FUZZ_CC = clang
PYTHON = /usr/bin/python3
# Most tests wait for servers: four processes a core. A file stays in one.
PYTEST_JOBS = $(shell expr $$(nproc) \* 4)
PYTEST_FLAGS = -q -p no:cacheprovider -n $(PYTEST_JOBS) --dist loadfile
SYSTEM_TESTS = tests/integration tests/attack tests/fault
PYTEST_PATHS = $(SYSTEM_TESTS) tests/lint

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

# ---------------------------------------------------------------- packages --

BUILD_PACKAGES = gcc libc6-dev make pkg-config mandoc libsodium-dev libsystemd-dev \
	libseccomp-dev libunistring-dev libfyaml-dev libldap-dev libsasl2-dev libsqlite3-dev \
	libmicrohttpd-dev libgnutls28-dev libcurl4-openssl-dev libjansson-dev libxml2-dev \
	libxmlsec1-dev liblasso3-dev libglib2.0-dev zlib1g-dev libfido2-dev libcbor-dev \
	liboath-dev libqrencode-dev libjs-bootstrap5
TEST_PACKAGES = libcmocka-dev python3-pytest python3-pytest-xdist python3-requests python3-jsonschema python3-yaml \
	slapd ldap-utils openssl sqlite3 clang llvm libclang-rt-14-dev clang-format \
	valgrind git procps curl util-linux python3-lxml xmlsec1 nginx-light simplesamlphp \
	php-cli php-xml chromium chromium-driver python3-selenium wrk caddy apache2-bin lua-socket \
	389-ds-base samba samba-dsdb-modules samba-ad-provision iproute2 krb5-kdc krb5-admin-server \
	libsasl2-modules-gssapi-mit python3-aiosmtpd python3-cryptography oathtool openssh-server systemd prometheus

DEB_PACKAGES = build-essential debhelper dpkg-dev fakeroot
CHECK_DEB_PACKAGES = lintian debootstrap systemd python3-pytest python3-pytest-xdist util-linux iproute2

PKG_CONFIG_NAMES = libsodium libsystemd libseccomp libfyaml ldap lber libsasl2 sqlite3 libmicrohttpd \
	gnutls libcurl jansson libxml-2.0 xmlsec1-openssl lasso gobject-2.0 glib-2.0 zlib libfido2 libcbor \
	liboath libqrencode

# ------------------------------------------------------------------- flags --

# These goals need no library to be there yet: they install it, or never compile.
INSTALLING = help clean deps deps-check demo deb check-deb check check-san check-valgrind fuzz lint bench
ifneq ($(filter-out $(INSTALLING),$(or $(MAKECMDGOALS),all)),)
PKG_PROBLEM := $(shell pkg-config --exists --print-errors '$(PKG_CONFIG_NAMES)' 2>&1 || echo missing)
ifneq ($(PKG_PROBLEM),)
$(error libraries are missing, run 'make deps': $(PKG_PROBLEM))
endif
# As system headers: warnings in them are not ours.
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PKG_CONFIG_NAMES)))
PKG_LIBS := $(shell pkg-config --libs $(PKG_CONFIG_NAMES))
endif

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
	-Wwrite-strings -Werror=implicit-function-declaration $(if $(WERROR),-Werror)
HARDENING = -fPIE -fstack-protector-strong -fstack-clash-protection
ifeq ($(shell uname -m),x86_64)
HARDENING += -fcf-protection
endif
ifneq ($(SANITIZE),)
MODE_FLAGS = -O1 -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer \
	-DRB_SANITIZE
else
MODE_FLAGS = -O2 -D_FORTIFY_SOURCE=2
endif
CPPFLAGS = -D_GNU_SOURCE -Iinclude -I$(BUILD)/generated -include rolebridge/base/banned.h
ALL_CFLAGS = -std=gnu11 -g $(MODE_FLAGS) $(HARDENING) $(WARNINGS) $(CFLAGS)
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE))
LDLIBS = $(PKG_LIBS) -lunistring -lresolv -lm
COMPILE = $(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) -pthread -MMD -MP

# --------------------------------------------------------------- libraries --

# Link order: who uses comes before who is used.
FOLDERS = main cli web api auth target accounts change store policy decision rules source identity \
	config http audit client model base

# Who exports an option table knows the types of its rows.
DEPS_option_table = config model base

DEPS_base =
DEPS_model = base
DEPS_config = model base
DEPS_identity = config model base
DEPS_http = model base
DEPS_audit = model base
DEPS_client = model base
DEPS_rules = config identity $(DEPS_config)
DEPS_source = config identity $(DEPS_config)
DEPS_decision = rules $(DEPS_rules)
DEPS_policy = decision $(DEPS_decision)
DEPS_store = audit $(DEPS_audit)
DEPS_change = store policy $(DEPS_store) $(DEPS_policy)
DEPS_auth = change client $(DEPS_change)
DEPS_accounts = base
DEPS_target = accounts change client $(DEPS_change)
DEPS_api = auth http change client $(DEPS_auth)
DEPS_web = api $(DEPS_api)
DEPS_cli = audit config rules identity client model base
DEPS_main = $(filter-out main cli,$(FOLDERS))

find_c = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))
$(foreach f,$(FOLDERS),$(eval SOURCES_$(f) := $(call find_c,daemon/$(f))))
# The helper's library serves others too: its main() is not in it.
SOURCES_accounts := $(filter-out daemon/accounts/main.c,$(SOURCES_accounts))
PRESENT := $(foreach f,$(FOLDERS),$(if $(SOURCES_$(f)),$(f)))

# libraries of $(1) and of all it stands on, in link order
libraries = $(foreach f,$(PRESENT),$(if $(filter $(f),$(1) $(DEPS_$(1))),$(BUILD)/lib$(f).a))

define folder_rules
$(BUILD)/lib$(1).a: $$(patsubst daemon/%.c,$(BUILD)/obj/%.o,$$(SOURCES_$(1)))
	@rm -f $$@
	@echo "  AR      $$@"
	@$$(AR) rcs $$@ $$^
endef
$(foreach f,$(PRESENT),$(eval $(call folder_rules,$(f))))

BINARIES = $(if $(SOURCES_main),$(BUILD)/rolebridged) $(if $(SOURCES_cli),$(BUILD)/rolebridgectl) \
	$(patsubst daemon/accounts/main.c,$(BUILD)/rolebridge-accounts,$(wildcard daemon/accounts/main.c)) \
	$(BUILD)/rolebridge-authorized-keys
LIBRARIES = $(PRESENT:%=$(BUILD)/lib%.a)

# SQL as C string literals: schemas/sql/0001-first.sql → #include "sql/0001-first.sql.h"
SQL_HEADERS := $(patsubst schemas/sql/%,$(BUILD)/generated/sql/%.h,$(wildcard schemas/sql/*.sql))
GENERATED = $(SQL_HEADERS) $(BUILD)/generated/assets.h

all: $(LIBRARIES) $(BINARIES) ## build the daemon and the control command

$(BUILD)/rolebridged: $(call libraries,main)
$(BUILD)/rolebridgectl: $(call libraries,cli)
$(BUILD)/rolebridge-accounts: $(BUILD)/obj/accounts/main.o $(call libraries,accounts)
$(BUILD)/rolebridge-authorized-keys: $(BUILD)/obj/keys/main.o $(call libraries,accounts)
$(BUILD)/rolebridged $(BUILD)/rolebridgectl $(BUILD)/rolebridge-accounts $(BUILD)/rolebridge-authorized-keys:
	@echo "  LINK    $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/obj/%.o: daemon/%.c $(BUILD)/flags | $(GENERATED)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(COMPILE) -c -o $@ $<

$(BUILD)/generated/sql/%.sql.h: schemas/sql/%.sql
	@mkdir -p $(@D)
	@sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

# Style sheets and scripts of pages as C arrays, compressed, each with the hash of its content. Without the names of
# maps that are not there.
BOOTSTRAP = /usr/share/bootstrap-html/css/bootstrap.min.css
ASSETS := $(sort $(wildcard daemon/api/assets/*))

$(BUILD)/generated/assets.h: $(BOOTSTRAP) $(ASSETS)
	@mkdir -p $(@D)
	@table=''; { for file in $^; do \
		name=$$(basename $$file | sed 's/\.min//'); id=$$(echo $$name | tr -c 'a-z0-9\n' _); \
		sed '/sourceMappingURL=/d' $$file > $@.text; \
		hash=$$(sha256sum < $@.text | cut -c 1-16); \
		printf 'static const unsigned char asset_%s[] = {\n' $$id; \
		gzip -9nc < $@.text | od -An -v -tu1 | sed 's/[0-9]\+/&,/g'; \
		printf '};\n'; \
		table="$$table{ \"$$name\", \"$$hash\", asset_$$id, sizeof(asset_$$id), $$(wc -c < $@.text) },"; \
	done; printf 'static const struct asset assets[] = { %s };\n' "$$table"; } > $@.new
	@rm -f $@.text; mv $@.new $@

# Other flags than the last time: everything is built again.
FLAGS_TEXT = $(subst ','\'',$(CC) $(ALL_CFLAGS) $(CPPFLAGS) $(ALL_LDFLAGS))
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS_TEXT)' | cmp -s - $@ || printf '%s\n' '$(FLAGS_TEXT)' > $@

# -------------------------------------------------------------- unit tests --

# tests/unit/<folder>/test_*.c are programs; other files beside them are linked into each, and UNIT_MORE_<folder>.
UNIT_MORE_auth = tests/unit/change/setup.c tests/unit/client/gateway.c
UNIT_MORE_target = tests/unit/change/setup.c tests/unit/client/gateway.c
UNIT_SOURCES := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_TESTS := $(UNIT_SOURCES:tests/unit/%.c=$(BUILD)/unit/%)
unit_folder = $(firstword $(subst /, ,$(patsubst tests/unit/%,%,$(1))))

define unit_rules
$(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(1)): $(patsubst tests/%.c,$(BUILD)/tests/%.o,\
	$(1) $(filter-out $(UNIT_SOURCES),$(wildcard $(dir $(1))*.c)) \
	$(UNIT_MORE_$(call unit_folder,$(1)))) \
	$(call libraries,$(call unit_folder,$(1)))
endef
$(foreach t,$(UNIT_SOURCES),$(eval $(call unit_rules,$(t))))

$(UNIT_TESTS):
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

$(BUILD)/tests/%.o: tests/%.c $(BUILD)/flags | $(GENERATED)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(COMPILE) -c -o $@ $<

# $(call first,NAMES,FILES): the files with those called test_NAME in front, in the order of the names
named = $(foreach n,$(1),$(filter %/test_$(n) %/test_$(n).py,$(2)))
first = $(call named,$(1),$(2)) $(filter-out $(call named,$(1),$(2)),$(2))

# Runs them side by side, for most wait, those first that wait longest; shows the whole output of
# those that fail and ends with their names. What left no .passed behind has failed.
UNIT_JOBS = $(shell expr $$(nproc) \* 2)
UNIT_ORDER = $(call first,saml_pool ldap_follower follow faults ldap_client full,$(UNIT_TESTS))
RUN_UNIT = rm -f $(UNIT_TESTS:=.passed) $(UNIT_TESTS:=.log); \
	printf '%s\n' $(UNIT_ORDER) | \
	xargs -P $(UNIT_JOBS) -n 1 sh -c 't=$$1; \
		timeout 600 $(UNIT_WRAPPER) $$t > $$t.log 2>&1 || exit 0; \
		printf "%-40s %s\n" "$${t\#$(BUILD)/unit/}" "$$(grep -a PASSED $$t.log | tail -n 1)"; \
		: > $$t.passed' sh; \
	failed=''; \
	for t in $(UNIT_TESTS); do \
		[ -e $$t.passed ] || { cat $$t.log; failed="$$failed $$t"; }; \
	done; \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed"; exit 1; fi; \
	echo "$(words $(UNIT_TESTS)) unit test programs passed"

export ASAN_OPTIONS ?= detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS ?= print_stacktrace=1
export ROLEBRIDGE_BUILD = $(abspath $(BUILD))

check-unit: $(UNIT_TESTS) ## unit tests (no packages are installed)
	@$(RUN_UNIT)

PYTEST_FILES = $(wildcard $(PYTEST_PATHS:%=%/test_*.py))
# Those that last longest are begun first, so that none of them is the end of all.
PYTEST_ORDER = $(call first,poll_faults ldap_faults ldap_poll follow_faults follow_silence ldap_poll_marks live vendors_follow \
	ldap_poll_size ldap_poll_odd judge web chromium signin_kinds directory,$(PYTEST_FILES))

check-integration: all tools ## integration and lint tests (no packages are installed)
	@$(if $(PYTEST_FILES),$(PYTHON) -m pytest $(PYTEST_FLAGS) $(PYTEST_ORDER),:)

# Building needs the processor alone: one job a core, where nobody said how many.
PARALLEL = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc)) -Otarget

check: deps-check ## install what tests need, run every test
	@$(MAKE) --no-print-directory $(PARALLEL) all tools unit-programs
	@$(MAKE) --no-print-directory check-unit
	@$(MAKE) --no-print-directory check-integration

check-san: deps-check ## the same tests under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/san SANITIZE=address,undefined all tools unit-programs
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/san SANITIZE=address,undefined \
		PYTEST_JOBS=$$(expr $$(nproc) + 1) PYTEST_PATHS='$(SYSTEM_TESTS)' check-unit check-integration

check-valgrind: deps-check ## unit tests under valgrind
	@$(MAKE) --no-print-directory $(PARALLEL) unit-programs
	@$(MAKE) --no-print-directory ROLEBRIDGE_VALGRIND=1 check-unit UNIT_JOBS=$$(nproc) \
		UNIT_WRAPPER='env ROLEBRIDGE_VALGRIND=1 valgrind -q --leak-check=full --error-exitcode=99 --child-silent-after-fork=yes'

# ------------------------------------------------------------- test tools --

# tests/tools/*.c: programs that integration tests and benchmarks start. TOOL_FOLDER_<name> says
# the folder whose libraries it uses; all of them when not given.
TOOL_FOLDER_ldap_read = source
TOOL_FOLDER_saml_judge = source
TOOL_FOLDER_filter_match = rules
TOOL_FOLDER_web_server = http
TOOL_FOLDER_fetch_url = client
TOOL_SOURCES := $(sort $(wildcard tests/tools/*.c))
TOOLS := $(TOOL_SOURCES:tests/tools/%.c=$(BUILD)/tools/%)

define tool_rules
$(BUILD)/tools/$(1): $(BUILD)/tests/tools/$(1).o $(call libraries,$(or $(TOOL_FOLDER_$(1)),main))
endef
$(foreach t,$(TOOL_SOURCES:tests/tools/%.c=%),$(eval $(call tool_rules,$(t))))

$(TOOLS):
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

tools: $(TOOLS)

# ----------------------------------------------------------------- fuzzing --

FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_PROGRAMS = $(FUZZERS:%=$(BUILD)/fuzz_%)

$(FUZZ_PROGRAMS): $(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o \
	$(patsubst %,$(BUILD)/lib%.a,$(filter-out main cli,$(PRESENT)))
	@echo "  LINK    $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

fuzz-programs: $(FUZZ_PROGRAMS)

# The corpus is copied, so that a run adds nothing to the tree; a crash stays in $(BUILD).
fuzz-run: fuzz-programs
	@mkdir -p $(BUILD)/crash; \
	for name in $(FUZZERS); do \
		work=$(BUILD)/corpus/$$name; rm -rf $$work; mkdir -p $$work; \
		[ ! -d tests/fuzz/corpus/$$name ] || cp -r tests/fuzz/corpus/$$name/. $$work; \
		dict=''; [ ! -f tests/fuzz/$$name.dict ] || dict="-dict=tests/fuzz/$$name.dict"; \
		$(BUILD)/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
			-artifact_prefix=$(BUILD)/crash/$$name- -print_final_stats=0 -verbosity=1 \
			$$dict $$work > $(BUILD)/fuzz_$$name.log 2>&1 || \
			{ tail -n 60 $(BUILD)/fuzz_$$name.log; echo "FAILED: fuzz_$$name"; exit 1; }; \
		printf '%-20s %s\n' "$$name" "$$(grep -a '^Done' $(BUILD)/fuzz_$$name.log)"; \
	done

fuzz: deps-check ## run every fuzzer for FUZZ_SECONDS (10)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=$(FUZZ_CC) \
		SANITIZE=fuzzer-no-link,address,undefined fuzz-run

# ------------------------------------------------------------------- lint --

C_FILES = $(shell find daemon include tests -name '*.[ch]')
MAN_SOURCES := $(sort $(shell find daemon -name '*.[1-8]' 2>/dev/null))
MAN_PAGES = $(MAN_SOURCES) $(wildcard $(BUILD)/man/*.[1-8])

lint: deps-check ## format, both compilers with -Werror, layering, man pages
	@$(MAKE) --no-print-directory lint-format
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/gcc CC=gcc WERROR=1 all unit-programs
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/clang CC=clang WERROR=1 all unit-programs
	@$(MAKE) --no-print-directory lint-man
	@$(PYTHON) -m pytest $(PYTEST_FLAGS) tests/lint

unit-programs: $(UNIT_TESTS)

lint-format:
	@clang-format --dry-run -Werror $(C_FILES) || { echo "'make format' mends this"; exit 1; }

lint-man:
	@for page in $(MAN_PAGES); do mandoc -T lint -W warning $$page || exit 1; done

format: ## rewrite all C files in the house format
	@clang-format -i $(C_FILES)

# ------------------------------------------------------------ demo, bench --

demo: deps ## install what is missing, build, and show the whole road on example data
	@$(MAKE) --no-print-directory all
	@config/demo/run $(BUILD)

# tests/bench/*.c: programs that measure, or are the yardstick.
BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard tests/bench/*.c)))
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(call libraries,main)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

bench-programs: $(BENCHES)

bench: deps-check ## measure against the yardsticks; BENCH_USERS="100000 1000000" sets the sizes
	@$(MAKE) --no-print-directory all bench-programs
	@tests/bench/run $(BUILD)

# Copies of what the option tables say, committed for editors and readers.
generate: all ## rewrite schemas/config.schema.json and rolebridge.yaml(5)
	@$(BUILD)/rolebridged --print schema > $(BUILD)/generated/schema && \
		mv $(BUILD)/generated/schema schemas/config.schema.json
	@$(BUILD)/rolebridged --print manual > $(BUILD)/generated/manual && \
		mv $(BUILD)/generated/manual daemon/main/rolebridge.yaml.5

# --------------------------------------------------------------- packages --

# One line of shell: install those of $(1) that are missing, when that is possible.
# slapd's package would start a directory of its own: a policy-rc.d that says no
# stands there for that moment, unless the machine has one of its own.
define install_packages
missing=''; \
for p in $(1); do \
	case "$$(dpkg-query -W -f '$${Status}' $$p 2>/dev/null)" in \
	*'install ok installed') ;; *) missing="$$missing $$p" ;; esac; \
done; \
[ -n "$$missing" ] || exit 0; \
echo "missing packages:$$missing"; \
if [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then \
	echo "install them first: apt-get install --no-install-recommends$$missing" >&2; exit 1; \
fi; \
policy=/usr/sbin/policy-rc.d; \
if [ ! -e $$policy ]; then \
	printf '#!/bin/sh\nexit 101\n' > $$policy; chmod 755 $$policy; \
	trap "rm -f $$policy" EXIT; trap 'exit 1' HUP INT TERM; \
fi; \
export DEBIAN_FRONTEND=noninteractive; \
{ apt-get -q -y update && \
  apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends $$missing; } < /dev/null
endef

deps: ## install the build packages that are missing (as root; otherwise names them)
	@$(call install_packages,$(BUILD_PACKAGES))

deps-check: ## the same for build and test packages
	@$(call install_packages,$(BUILD_PACKAGES) $(TEST_PACKAGES))

# ---------------------------------------------------------------- install --

DATA = $(DESTDIR)$(PREFIX)/share
UNITS = $(PREFIX)/lib/systemd/system
# $(call put,MODE,FOLDER,FILES): nothing happens for no files
put = $(if $(strip $(3)),install -d $(2) && install -m $(1) $(3) $(2),:)
# The same, with @PREFIX@ replaced
put_text = $(foreach f,$(2),install -d $(1) && sed 's|@PREFIX@|$(PREFIX)|g' $(f) > \
	$(1)/$(notdir $(f)) && chmod 644 $(1)/$(notdir $(f)) &&) :

install: all ## install below DESTDIR/PREFIX
	$(call put,755,$(DESTDIR)$(PREFIX)/sbin,$(filter %/rolebridged %/rolebridge-accounts,$(BINARIES)))
	$(call put,755,$(DESTDIR)$(PREFIX)/bin,$(filter %/rolebridgectl %/rolebridge-authorized-keys,$(BINARIES)))
	$(foreach s,1 5 7 8,$(call put,644,$(DATA)/man/man$(s),$(filter %.$(s),$(MAN_PAGES))) &&) :
	$(call put,644,$(DATA)/rolebridge/schemas,$(wildcard schemas/*.json schemas/*.yaml))
	$(call put,644,$(DATA)/doc/rolebridge/examples,$(wildcard config/*.yaml config/*.json))
	$(BUILD)/rolebridge-accounts --print-config > $(DATA)/doc/rolebridge/examples/accounts.conf
	chmod 644 $(DATA)/doc/rolebridge/examples/accounts.conf
	$(foreach p,nginx caddy apache sshd,$(call put,644,$(DATA)/doc/rolebridge/examples/$(p),$(wildcard config/$(p)/*)) &&) :
	$(call put,644,$(DATA)/doc/rolebridge,LICENSE $(wildcard README.md))
	$(if $(wildcard daemon/cli/*.bash),install -D -m 644 $(wildcard daemon/cli/*.bash) \
		$(DATA)/bash-completion/completions/rolebridgectl)
	$(call put_text,$(DESTDIR)$(UNITS),$(wildcard systemd/*.service systemd/*.socket systemd/*.timer))
	$(call put_text,$(DESTDIR)$(PREFIX)/lib/sysusers.d,$(wildcard systemd/sysusers.d/*.conf))
	$(call put_text,$(DESTDIR)$(PREFIX)/lib/tmpfiles.d,$(wildcard systemd/tmpfiles.d/*.conf))

# ----------------------------------------------------------- Debian packages --

VERSION = $(shell sed -n 's/^.define ROLEBRIDGE_VERSION "\(.*\)"/\1/p' include/rolebridge/base/version.h)
DEB_FOLDER = $(BUILD)/deb
DEB_TREE = $(DEB_FOLDER)/rolebridge-$(VERSION)
DEB_PARTS = daemon include config schemas systemd Makefile README.md LICENSE
COMMA = ,
EMPTY =
SPACE = $(EMPTY) $(EMPTY)

# In a copy of the tree, where debian/ is at the top. Flags and folders of this make are none of theirs.
deb: ## build the Debian packages into BUILD/deb
	@$(call install_packages,$(BUILD_PACKAGES) $(DEB_PACKAGES))
	@rm -rf $(DEB_FOLDER) && mkdir -p $(DEB_TREE)
	@tar -cf - --exclude=__pycache__ $(DEB_PARTS) | tar -xf - -C $(DEB_TREE)
	@mv $(DEB_TREE)/systemd/debian $(DEB_TREE)/debian
	@sed -i 's|@BUILD_PACKAGES@| $(subst $(SPACE),$(COMMA) ,$(strip $(BUILD_PACKAGES)))|' $(DEB_TREE)/debian/control
	@cd $(DEB_TREE) && env -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES dpkg-buildpackage -b -us -uc > ../build.log 2>&1 \
		|| { tail -n 40 ../build.log; exit 1; }
	@ls $(DEB_FOLDER)/*.deb

check-deb: deb ## install, upgrade, remove the packages on Debian 12 machines of their own, as root
	@$(call install_packages,$(CHECK_DEB_PACKAGES))
	@lintian --fail-on error --allow-root $(DEB_FOLDER)/*.changes
	@$(PYTHON) -m pytest -q -p no:cacheprovider -n 4 --dist load -rs tests/packages

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo
	@echo "Variables: CC BUILD PREFIX DESTDIR SANITIZE WERROR=1 CFLAGS LDFLAGS FUZZ_SECONDS"

FORCE:
.PHONY: all bench bench-programs generate check check-deb check-integration check-san check-unit check-valgrind clean deb demo deps \
	deps-check format fuzz fuzz-programs fuzz-run help install lint lint-format lint-man \
	tools unit-programs FORCE

-include $(shell find $(BUILD)/obj $(BUILD)/tests -name '*.d' 2>/dev/null)
