/*
 * A document: files read, parsed and merged. Enters: a path, or texts. Leaves:
 * one mapping and all findings. May fail as a whole only when the main file
 * cannot be read or there is no memory.
 *
 * Merging: for each key of the top level the pieces of all files are gathered
 * first and joined once, so that 256 files cost no more than their nodes.
 */
#include <rolebridge/config/document.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>

#include "tree.h"

#define ARENA_BYTES_MAX ((size_t)1024 * 1024 * 1024)
#define PIECE_NONE UINT32_MAX

/* One file's value of a top-level key. */
struct piece {
	struct node key, value;
	uint32_t next; /* the next piece of the same key */
};

struct merge {
	struct document *document;
	struct diagnostics *list;
	struct piece *pieces;
	uint32_t count;
	struct hash_table *keys; /* first piece of each */
};

static struct document *document_create(void)
{
	struct document *document = alloc_zeroed(1, sizeof(*document));

	if (!document)
		return NULL;
	document->arena = arena_create(ARENA_BYTES_MAX);
	if (!document->arena) {
		free(document);
		return NULL;
	}
	document->root.type = NODE_MAPPING;
	return document;
}

void document_destroy(struct document *document)
{
	if (!document)
		return;
	arena_destroy(document->arena);
	free(document);
}

const char *document_file_path(const struct document *document, unsigned file)
{
	return file >= 1 && file <= document->file_count ? document->files[file - 1]->path : NULL;
}

bool document_incomplete(const struct document *document)
{
	return document->root.incomplete;
}

/* The folder of a path with its slash: "" for none. */
static const char *folder_of(const char *path, struct arena *arena)
{
	const char *slash = strrchr(path, '/');

	return slash ? arena_strndup(arena, path, (size_t)(slash - path) + 1) : "";
}

const char *document_path(const struct document *document, unsigned file, const char *path,
			  struct arena *arena)
{
	const char *named_by = document_file_path(document, file ? file : 1);
	const char *folder = named_by ? folder_of(named_by, arena) : "";

	if (path[0] == '/')
		return arena_strdup(arena, path);
	if (!folder)
		return NULL;
	if (folder[0] == '/')
		return arena_printf(arena, "%s%s", folder, path);

	char *here = getcwd(NULL, 0);
	const char *absolute = arena_printf(arena, "%s/%s%s", here ? here : "", folder, path);

	free(here);
	return absolute;
}

struct source_file *document_add_file(struct document *document, const char *path, const char *text,
				      size_t size)
{
	static const char mark[] = "\xef\xbb\xbf";

	if (size >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0) {
		text += strlen(mark);
		size -= strlen(mark);
	}

	struct source_file *file = arena_alloc(document->arena, sizeof(*file));

	if (!file)
		return NULL;
	file->path = arena_strdup(document->arena, path);
	file->text = arena_strndup(document->arena, text, size);
	if (!file->path || !file->text)
		return NULL;
	file->size = size;
	file->index = ++document->file_count;
	document->files[file->index - 1] = file;
	return file;
}

const char *document_check_size(struct document *document, size_t size)
{
	if (size > DOCUMENT_FILE_BYTES_MAX)
		return "larger than 8 MiB";
	if (document->file_count == DOCUMENT_FILES_MAX)
		return "more than 256 files";
	if (size > DOCUMENT_BYTES_MAX - document->bytes)
		return "more than 64 MiB in all files together";
	document->bytes += size;
	return NULL;
}

/* Parse one file; whatever it holds, a mapping comes out. */
static struct node document_parse(struct document *document, const struct source_file *file,
				  struct diagnostics *list)
{
	struct node root = { .type = NODE_NULL, .at = { file->index, 1, 1, 1 } };
	struct source_file readable = *file;

	readable.size = source_check(file, list);
	if (readable.size || !file->size)
		source_parse(&readable, document->arena, &document->nodes, list, &root);
	else
		root.incomplete = true;
	if (root.type == NODE_MAPPING)
		return root;
	if (root.type == NODE_SCALAR || root.type == NODE_SEQUENCE) {
		diagnostics_add(list, SEVERITY_ERROR, "wrong-type", root.at,
				"A configuration is made of lines like 'key: value'.",
				"the file must hold a mapping, not %s", node_kind(&root));
		root.incomplete = true;
	}
	return (struct node){ .type = NODE_MAPPING,
			      .at = root.at,
			      .incomplete = root.incomplete || root.type == NODE_BAD };
}

/* Take the key `include` out of a file's root; *ret_value is NODE_NULL when there is none. */
static void take_include(struct node *root, struct arena *arena, struct node *ret_key,
			 struct node *ret_value)
{
	*ret_key = *ret_value = (struct node){ .type = NODE_NULL };
	for (uint32_t i = 0; i < root->count; i++) {
		const struct node *pair = &root->items[2 * (size_t)i];

		if (strcmp(pair[0].text, "include") != 0)
			continue;

		struct node *items =
			arena_memdup(arena, root->items, 2 * (size_t)root->count * sizeof(*items));

		if (!items) {
			root->incomplete = true;
			return;
		}
		*ret_key = pair[0];
		*ret_value = pair[1];
		root->count--;
		memmove(&items[2 * (size_t)i], &items[2 * (size_t)i + 2],
			2 * (size_t)(root->count - i) * sizeof(*items));
		root->items = items;
		return;
	}
}

/* The included files may not include: order would be hard to see, and cycles possible. */
static void refuse_include(struct node *root, struct arena *arena, struct diagnostics *list)
{
	struct node key, value;

	take_include(root, arena, &key, &value);
	if (key.type != NODE_NULL)
		diagnostics_add(list, SEVERITY_ERROR, "include-nested", key.at,
				"Name all files in the main file.",
				"'include' is allowed in the main file only");
}

/* ------------------------------------------------------------------ merging */

static int merge_add_pair(struct merge *merge, const struct node *pair)
{
	struct piece *piece = &merge->pieces[merge->count];
	uint32_t *slot;
	int added = hash_table_put(merge->keys, fingerprint128(pair[0].text, pair[0].count), &slot);

	if (added < 0)
		return -1;
	*piece = (struct piece){ .key = pair[0], .value = pair[1], .next = PIECE_NONE };
	if (added == 0) {
		/* The first piece's list is short: one piece per file. */
		uint32_t last = *slot;

		while (merge->pieces[last].next != PIECE_NONE)
			last = merge->pieces[last].next;
		merge->pieces[last].next = merge->count;
		piece->key.type = NODE_BAD; /* belongs to an earlier piece */
	} else {
		*slot = merge->count;
	}
	merge->count++;
	return 0;
}

/* The value that says what kind of thing the key holds: the first that is not null. */
static const struct piece *leading_piece(const struct merge *merge, const struct piece *first)
{
	const struct piece *piece = first;

	while (piece->value.type == NODE_NULL && piece->next != PIECE_NONE)
		piece = &merge->pieces[piece->next];
	return piece;
}

static void refuse_piece(struct merge *merge, const struct piece *piece, const struct piece *lead)
{
	const char *path = document_file_path(merge->document, lead->key.at.file);
	char hint[256];

	snprintf(hint, sizeof(hint), "It was first given in %.180s, line %u.", path ? path : "?",
		 lead->key.at.line);
	if (piece->value.type == lead->value.type)
		diagnostics_add(merge->list, SEVERITY_ERROR, "duplicate-key", piece->key.at, hint,
				"'%s' was already given", piece->key.text);
	else
		diagnostics_add(merge->list, SEVERITY_ERROR, "wrong-type", piece->key.at, hint,
				"'%s' is %s in another file, %s here", piece->key.text,
				node_kind(&lead->value), node_kind(&piece->value));
}

/* Whether the piece adds to the value that lead began; says so when it may not. */
static bool piece_joins(struct merge *merge, const struct piece *piece, const struct piece *lead)
{
	if (piece == lead)
		return true;
	if (piece->value.type == NODE_NULL || piece->value.type == NODE_BAD)
		return false;
	if (piece->value.type == lead->value.type && lead->value.type != NODE_SCALAR)
		return true;
	if (lead->value.type != NODE_BAD)
		refuse_piece(merge, piece, lead);
	return false;
}

static size_t node_children(const struct node *node)
{
	return node->type == NODE_MAPPING ? 2 * (size_t)node->count : node->count;
}

/* The pieces of one key as one value. Returns -1 when out of memory. */
static int merge_join(struct merge *merge, const struct piece *first, struct node *ret_value)
{
	const struct piece *lead = leading_piece(merge, first);
	struct node value = lead->value;
	size_t total = 0, filled = 0;

	if (first->next == PIECE_NONE ||
	    (value.type != NODE_SEQUENCE && value.type != NODE_MAPPING)) {
		for (uint32_t i = first->next; i != PIECE_NONE; i = merge->pieces[i].next)
			piece_joins(merge, &merge->pieces[i], lead);
		*ret_value = value;
		return 0;
	}
	for (const struct piece *p = first; p;
	     p = p->next == PIECE_NONE ? NULL : &merge->pieces[p->next])
		total += node_children(&p->value);

	struct node *items = arena_alloc_array(merge->document->arena, total, sizeof(*items));

	if (!items && total)
		return -1;
	for (const struct piece *p = first; p;
	     p = p->next == PIECE_NONE ? NULL : &merge->pieces[p->next]) {
		size_t children = node_children(&p->value);

		if (!piece_joins(merge, p, lead))
			continue;
		if (children)
			memcpy(&items[filled], p->value.items, children * sizeof(*items));
		filled += children;
		value.incomplete = value.incomplete || p->value.incomplete;
	}
	value.items = items;
	value.count = (uint32_t)filled;
	if (value.type == NODE_MAPPING)
		value.count = mapping_settle(items, (uint32_t)(filled / 2), merge->list);
	*ret_value = value;
	return 0;
}

static int merge_finish(struct merge *merge, struct node *ret_root)
{
	struct node *items =
		arena_alloc_array(merge->document->arena, 2 * (size_t)merge->count, sizeof(*items));
	uint32_t pairs = 0;

	if (!items && merge->count)
		return -1;
	for (uint32_t i = 0; i < merge->count; i++) {
		const struct piece *piece = &merge->pieces[i];

		if (piece->key.type == NODE_BAD)
			continue;
		items[2 * (size_t)pairs] = piece->key;
		if (merge_join(merge, piece, &items[2 * (size_t)pairs + 1]) < 0)
			return -1;
		pairs++;
	}
	ret_root->items = items;
	ret_root->count = pairs;
	return 0;
}

static int merge_roots(struct merge *merge, const struct node *roots, unsigned count,
		       struct node *ret_root)
{
	for (unsigned file = 0; file < count; file++) {
		ret_root->incomplete = ret_root->incomplete || roots[file].incomplete;
		for (uint32_t i = 0; i < roots[file].count; i++)
			if (merge_add_pair(merge, &roots[file].items[2 * (size_t)i]) < 0)
				return -1;
	}
	return merge_finish(merge, ret_root);
}

/* One mapping out of all files' mappings. */
static int document_merge(struct document *document, const struct node *roots, unsigned count,
			  struct diagnostics *list)
{
	struct merge merge = { .document = document, .list = list };
	size_t total = 0;
	int result = -1;

	document->root = roots[0];
	if (count == 1)
		return 0;
	for (unsigned i = 0; i < count; i++)
		total += roots[i].count;
	merge.pieces = alloc_zeroed(total + 1, sizeof(*merge.pieces));
	merge.keys = hash_table_create(total, total + 1);
	if (merge.pieces && merge.keys)
		result = merge_roots(&merge, roots, count, &document->root);
	hash_table_destroy(merge.keys);
	free(merge.pieces);
	return result;
}

/* ------------------------------------------------------------------ loading */

static void report_no_memory(struct diagnostics *list)
{
	diagnostics_add(list, SEVERITY_ERROR, "too-large", (struct position){ 0 }, NULL,
			"not enough memory for this configuration");
}

/* Parse and merge all files the document has by now. roots[0] is parsed already. */
static struct document *document_complete(struct document *document, struct node *roots,
					  bool incomplete, struct diagnostics *list)
{
	for (unsigned i = 1; i < document->file_count; i++) {
		roots[i] = document_parse(document, document->files[i], list);
		refuse_include(&roots[i], document->arena, list);
	}
	if (document_merge(document, roots, document->file_count, list) < 0) {
		report_no_memory(list);
		document->root = (struct node){ .type = NODE_MAPPING, .incomplete = true };
	}
	if (incomplete || arena_failed(document->arena))
		document->root.incomplete = true;
	return document;
}

static struct node *create_roots(struct document *document)
{
	return document
		       ? arena_alloc_array(document->arena, DOCUMENT_FILES_MAX, sizeof(struct node))
		       : NULL;
}

struct document *document_load(const char *path, struct diagnostics *list)
{
	AUTO(strbuf) struct strbuf text = STRBUF(DOCUMENT_FILE_BYTES_MAX + 1);
	struct document *document = document_create();
	struct node *roots = create_roots(document);
	struct node include_key, include;
	struct err err = { 0 };

	if (file_read(path, DOCUMENT_FILE_BYTES_MAX, &text, &err) < 0) {
		diagnostics_add(list, SEVERITY_ERROR, "unreadable-file", (struct position){ 0 },
				NULL, "%s", err.text);
		document_destroy(document);
		return NULL;
	}
	if (!roots || document_check_size(document, text.size) ||
	    !document_add_file(document, path, strbuf_text(&text), text.size)) {
		report_no_memory(list);
		document_destroy(document);
		return NULL;
	}
	strbuf_finish(&text);
	roots[0] = document_parse(document, document->files[0], list);
	take_include(&roots[0], document->arena, &include_key, &include);

	bool complete = document_include(document, &include, list);

	return document_complete(document, roots, !complete, list);
}

/* All files of a preview. Returns false when some had to be left out. */
static bool add_texts(struct document *document, const struct document_file *files, size_t count,
		      struct diagnostics *list)
{
	bool complete = true;

	for (size_t i = 0; i < count; i++) {
		const char *problem = document_check_size(document, files[i].size);

		if (!problem &&
		    !document_add_file(document, files[i].path, files[i].size ? files[i].text : "",
				       files[i].size))
			problem = "not enough memory";
		if (!problem)
			continue;
		diagnostics_add(list, SEVERITY_ERROR, "too-large", (struct position){ 0 }, NULL,
				"cannot take file '%s': %s", files[i].path, problem);
		complete = false;
		break;
	}
	return complete;
}

struct document *document_load_files(const struct document_file *files, size_t count,
				     struct diagnostics *list)
{
	struct document *document = document_create();
	struct node *roots = create_roots(document);
	struct node key, include;

	if (!roots || !count) {
		diagnostics_add(list, SEVERITY_ERROR, "unreadable-file", (struct position){ 0 },
				NULL, count ? "not enough memory" : "no file was given");
		document_destroy(document);
		return NULL;
	}

	bool complete = add_texts(document, files, count, list);

	if (!document->file_count) {
		document_destroy(document);
		return NULL;
	}
	roots[0] = document_parse(document, document->files[0], list);
	take_include(&roots[0], document->arena, &key, &include);
	return document_complete(document, roots, !complete, list);
}

/* ---------------------------------------------------------------- appending */

unsigned document_own_files(const struct document *document)
{
	return document->file_count - document->appended;
}

bool document_texts(const struct document *document, struct arena *arena,
		    struct document_file **ret_files, size_t *ret_count)
{
	unsigned count = document_own_files(document);
	struct document_file *files = arena_alloc_array(arena, count + (size_t)1, sizeof(*files));

	if (!files)
		return false;
	for (unsigned i = 0; i < count; i++)
		files[i] = (struct document_file){ .path = document->files[i]->path,
						   .text = document->files[i]->text,
						   .size = document->files[i]->size };
	*ret_files = files;
	*ret_count = count;
	return true;
}

/* The pair of the root with this key, or a new one with nothing in it. NULL: out of memory. */
static struct node *root_pair(struct document *document, const struct node *key)
{
	struct node *root = &document->root;
	size_t count = root->count;
	struct node *items;

	for (size_t i = 0; i < count; i++)
		if (strcmp(root->items[2 * i].text, key->text) == 0)
			return (struct node *)(uintptr_t)&root->items[2 * i];
	items = arena_alloc_array(document->arena, 2 * count + 2, sizeof(*items));
	if (!items)
		return NULL;
	if (count > 0)
		memcpy(items, root->items, 2 * count * sizeof(*items));
	items[2 * count] = *key;
	items[2 * count + 1] = (struct node){ .type = NODE_NULL, .at = key->at };
	root->items = items;
	root->count++;
	return &items[2 * count];
}

static int append_list(struct document *document, const struct node *key, const struct node *list)
{
	struct node *pair = root_pair(document, key);
	struct node *value = pair ? &pair[1] : NULL, *items;
	size_t before;

	if (!value)
		return -1;
	if (value->type == NODE_NULL) {
		*value = *list;
		return 0;
	}
	if (value->type != NODE_SEQUENCE || list->count == 0)
		return 0;
	before = value->count;
	items = arena_alloc_array(document->arena, before + list->count, sizeof(*items));
	if (!items)
		return -1;
	if (before > 0)
		memcpy(items, value->items, before * sizeof(*items));
	memcpy(&items[before], list->items, list->count * sizeof(*items));
	value->items = items;
	value->count += list->count;
	return 0;
}

static int append_text(struct document *document, const struct document_file *text,
		       struct diagnostics *list)
{
	const struct source_file *file;
	struct node root;

	if (document->appended == DOCUMENT_APPENDED_MAX ||
	    text->size > DOCUMENT_BYTES_MAX - document->bytes)
		return -1;
	document->bytes += text->size;
	file = document_add_file(document, text->path, text->text, text->size);
	if (!file)
		return -1;
	document->appended++;
	root = document_parse(document, file, list);
	for (uint32_t i = 0; i < root.count; i++)
		if (root.items[2 * (size_t)i + 1].type == NODE_SEQUENCE &&
		    append_list(document, &root.items[2 * (size_t)i],
				&root.items[2 * (size_t)i + 1]) < 0)
			return -1;
	return 0;
}

int document_append(struct document *document, const struct document_file *files, size_t count,
		    struct diagnostics *list)
{
	for (size_t i = 0; i < count; i++) {
		if (append_text(document, &files[i], list) == 0)
			continue;
		report_no_memory(list);
		document->root.incomplete = true;
		return -1;
	}
	return 0;
}
