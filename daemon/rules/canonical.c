/*
 * Canonical forms of conditions: what means the same hashes the same.
 *
 * Parts of & and | are flattened, sorted and taken once; a double "!" goes. In:
 * a compiled program. Out: hashes and bytes that hold names, not numbers, so
 * that they are stable across restarts and other orders of declaration. What
 * may fail: memory, through the strbuf; a hash is then of less, which only
 * lint and the digest see, and both check.
 */
#include "program.h"

#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

#define HASHES_MAX ((size_t)64 * 1024 * 1024)

static void serialize_prepared(const struct prepared *value, struct strbuf *out)
{
	put_u8(out, value->text != NULL);
	put_i64(out, value->number);
	put_bytes(out, value->text ? value->text : "", value->size);
}

static void serialize_atom(const struct program *program, const struct atom *atom,
			   struct strbuf *out)
{
	put_u8(out, atom->test);
	if (atom->test == TEST_UNKNOWN)
		return;
	if (atom->test == TEST_GROUP) {
		put_text(out, atom_detail_of(program, atom)->name);
		return;
	}
	put_u8(out, atom->comparison);
	put_u8(out, (uint8_t)(atom->with_dn | atom->open_start << 1 | atom->open_end << 2));
	put_text(out, schema_get(program->schema, atom->attribute)->name);
	put_text(out, atom->source < 0 ? "" : program->sources[atom->source]);
	if (atom->test != TEST_SUBSTRINGS) {
		struct prepared value = atom_value(atom);

		serialize_prepared(&value, out);
		return;
	}
	put_varint(out, atom->part_count);
	for (uint32_t i = 0; i < atom->part_count; i++)
		serialize_prepared(&atom->parts[i], out);
}

void program_serialize(const struct program *program, uint32_t root, struct strbuf *out)
{
	for (uint32_t at = root; at < program->nodes[root].end; at++) {
		const struct node *node = &program->nodes[at];

		put_u8(out, (uint8_t)node->kind);
		put_varint(out, node->end - root);
		if (node->kind == NODE_ATOM)
			serialize_atom(program, &program->atoms[node->atom], out);
	}
}

static int compare_hashes(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct hash128));
}

/* Hashes of the parts, those of nested nodes of the same kind among them. */
static void collect_parts(const struct program *program, uint32_t at, enum node_kind kind,
			  struct strbuf *out)
{
	const struct node *nodes = program->nodes;

	for (uint32_t child = at + 1; child < nodes[at].end; child = nodes[child].end) {
		if (nodes[child].kind == kind) {
			collect_parts(program, child, kind, out);
			continue;
		}
		struct hash128 hash = program_hash(program, child);

		strbuf_append(out, &hash, sizeof(hash));
	}
}

static struct hash128 hash_parts(const struct program *program, uint32_t at)
{
	AUTO(strbuf) struct strbuf parts = STRBUF(HASHES_MAX);
	struct hash128 *hashes;
	size_t count, kept = 0;

	collect_parts(program, at, program->nodes[at].kind, &parts);
	count = parts.size / sizeof(*hashes);
	if (count == 0)
		return digest128(program->nodes[at].kind == NODE_AND ? "true" : "false", 4);
	hashes = (struct hash128 *)(void *)parts.data;
	qsort(hashes, count, sizeof(*hashes), compare_hashes);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || compare_hashes(&hashes[i], &hashes[i - 1]) != 0)
			hashes[kept++] = hashes[i];
	if (kept == 1)
		return hashes[0];
	parts.size = kept * sizeof(*hashes);
	put_u8(&parts, (uint8_t)program->nodes[at].kind);
	return digest128(parts.data, parts.size);
}

static struct hash128 hash_negation(const struct program *program, uint32_t at)
{
	struct {
		struct hash128 of;
		uint64_t kind;
	} negation = { .kind = NODE_NOT };

	if (program->nodes[at + 1].kind == NODE_NOT)
		return program_hash(program, at + 2);
	negation.of = program_hash(program, at + 1);
	return digest128(&negation, sizeof(negation));
}

struct hash128 program_hash(const struct program *program, uint32_t root)
{
	const struct node *node = &program->nodes[root];
	AUTO(strbuf) struct strbuf text = STRBUF(HASHES_MAX);

	if (node->kind == NODE_AND || node->kind == NODE_OR)
		return hash_parts(program, root);
	if (node->kind == NODE_NOT)
		return hash_negation(program, root);
	serialize_atom(program, &program->atoms[node->atom], &text);
	return digest128(strbuf_text(&text), text.size);
}
