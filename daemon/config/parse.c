/*
 * From one YAML text to nodes: the only user of libfyaml. Enters: bytes that
 * passed source_check. Leaves: nodes in an arena; what libfyaml made is gone.
 *
 * libfyaml's events are read, not its document: its check for duplicate keys
 * is quadratic, its tree takes 300 bytes a node, and it stops silently at a
 * second document. From events we keep the depth, the number of nodes and the
 * end of the document in our own hands.
 *
 * Children of open containers wait on one stack; when a container ends, its
 * children move side by side into the arena and the container takes their
 * place. When reading stops early, all open containers are closed as they
 * stand and marked incomplete, so that what was read can still be checked.
 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#include <libfyaml.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

struct frame {
	struct node container;
	bool flow;    /* written in brackets */
	size_t first; /* its children's place on the stack */
};

struct builder {
	const struct source_file *file;
	struct arena *arena;
	struct diagnostics *list;
	struct line_cursor cursor;
	struct position last; /* of the last event that had one */
	size_t *counter;
	struct node *stack;
	size_t stack_count, stack_capacity;
	struct frame frames[DOCUMENT_DEPTH_MAX];
	unsigned depth;
	unsigned documents;
	bool stopped;
	struct strbuf scratch;
	struct node root;
};

static void builder_report(struct builder *b, struct position at, const char *code,
			   const char *hint, const char *message)
{
	diagnostics_add(b->list, SEVERITY_ERROR, code, at, hint, "%s", message);
}

/* Report what makes further reading useless. */
static void builder_stop(struct builder *b, struct position at, const char *code, const char *hint,
			 const char *message)
{
	if (!b->stopped)
		builder_report(b, at, code, hint, message);
	b->stopped = true;
}

static void builder_out_of_memory(struct builder *b)
{
	builder_stop(b, b->last, "too-large", NULL, "not enough memory for this configuration");
}

static struct position position_at(struct builder *b, size_t offset, size_t width)
{
	if (!b->file->index)
		return (struct position){ 0 };
	if (offset > b->file->size)
		offset = b->file->size;
	line_cursor_seek(&b->cursor, offset);

	size_t column = offset - b->cursor.start;
	size_t left = b->cursor.width > column ? b->cursor.width - column : 0;

	if (width > left)
		width = left;
	return (struct position){ b->file->index, b->cursor.line, (unsigned)column + 1,
				  width ? (unsigned)width : 1 };
}

/* Where an event stands; one without a place (an empty value) stands where the last one did. */
static struct position event_position(struct builder *b, struct fy_event *event)
{
	const struct fy_mark *start = fy_event_start_mark(event);
	const struct fy_mark *end = fy_event_end_mark(event);

	if (!start)
		return b->last;

	size_t width =
		end && end->input_pos > start->input_pos ? end->input_pos - start->input_pos : 1;

	b->last = position_at(b, start->input_pos, width);
	return b->last;
}

static void stack_push(struct builder *b, const struct node *node)
{
	if (b->stack_count == b->stack_capacity) {
		size_t capacity = b->stack_capacity ? b->stack_capacity * 2 : 64;
		struct node *stack = alloc_resize(b->stack, capacity * sizeof(*stack));

		if (!stack) {
			builder_out_of_memory(b);
			return;
		}
		b->stack = stack;
		b->stack_capacity = capacity;
	}
	b->stack[b->stack_count++] = *node;
}

static void builder_put(struct builder *b, const struct node *node)
{
	if (!b->stopped && ++*b->counter > DOCUMENT_NODES_MAX)
		builder_stop(b, node->at, "too-large", NULL,
			     "too many values in this configuration");
	else if (b->depth == 0)
		b->root = *node;
	else
		stack_push(b, node);
}

static void builder_open(struct builder *b, enum node_type type, struct fy_event *event)
{
	struct position at = event_position(b, event);

	if (b->depth == DOCUMENT_DEPTH_MAX) {
		builder_stop(b, at, "too-deep", NULL, "nested deeper than 64 levels");
		return;
	}
	at.width = 1;
	b->frames[b->depth++] = (struct frame){
		.container = { .type = (unsigned char)type, .at = at },
		.flow = fy_event_get_node_style(event) == FYNS_FLOW,
		.first = b->stack_count,
	};
}

static void builder_close(struct builder *b)
{
	struct frame *frame = &b->frames[--b->depth];
	struct node *children = b->stack ? b->stack + frame->first : NULL;
	size_t count = b->stack_count - frame->first;
	struct node node = frame->container;

	node.incomplete = b->stopped;
	if (node.type == NODE_MAPPING) {
		if (count && !frame->flow)
			node.at = children[0].at;
		node.count = mapping_settle(children, (uint32_t)(count / 2), b->list);
		count = 2 * (size_t)node.count;
	} else {
		node.count = (uint32_t)count;
	}
	b->stack_count = frame->first;
	if (count) {
		node.items = arena_memdup(b->arena, children, count * sizeof(*children));
		if (!node.items) {
			node.count = 0;
			node.incomplete = true;
			builder_out_of_memory(b);
		}
	}
	builder_put(b, &node);
}

static bool is_null_word(const char *text, size_t size)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (size == strlen(words[i]) && memcmp(text, words[i], size) == 0)
			return true;
	return false;
}

/*
 * Whether the source reads as the value does, from offset on. libfyaml's mark
 * of a block scalar is the start of its first line: skip the indentation.
 */
static bool is_verbatim(const struct builder *b, enum fy_scalar_style style, size_t *offset,
			const char *text, size_t size)
{
	bool block = style == FYSS_LITERAL || style == FYSS_FOLDED;

	if (block) {
		while (*offset < b->file->size && b->file->text[*offset] == ' ')
			++*offset;
		while (size > 0 && text[size - 1] == '\n')
			size--;
	}
	return *offset <= b->file->size && size <= b->file->size - *offset &&
	       !memchr(text, '\n', size) && memcmp(b->file->text + *offset, text, size) == 0;
}

static void set_text(struct builder *b, struct node *node, const char *text, size_t size)
{
	if (memchr(text, '\0', size)) {
		builder_report(b, node->at, "control-character", NULL,
			       "a NUL character is not allowed");
		return;
	}
	if (!text_is_utf8(text, size)) {
		builder_report(b, node->at, "invalid-utf8", NULL,
			       "an escape stands for no valid character");
		return;
	}
	node->text = arena_strndup(b->arena, text, size);
	if (!node->text) {
		builder_out_of_memory(b);
		return;
	}
	node->type = NODE_SCALAR;
	node->count = (uint32_t)size;
}

/* Append the text piece by piece. */
static bool collect_chunks(struct strbuf *out, struct fy_token *token, struct fy_token_iter *iter)
{
	const struct fy_iter_chunk *chunk = NULL;
	int failed = 0;

	fy_token_iter_start(token, iter);
	while ((chunk = fy_token_iter_chunk_next(iter, chunk, &failed)) != NULL)
		strbuf_append(out, chunk->str, chunk->len);
	fy_token_iter_finish(iter);
	return !failed;
}

/*
 * The value of a scalar; NULL when out of memory. fy_token_get_text of 0.7.12
 * loses memory on a single-quoted text with more than four doubled quotes
 * (libfyaml issue 233), an iterator does not.
 */
static const char *scalar_text(struct builder *b, struct fy_token *token, size_t *ret_size)
{
	if (fy_token_scalar_style(token) != FYSS_SINGLE_QUOTED)
		return fy_token_get_text(token, ret_size);

	struct fy_token_iter *iter = fy_token_iter_create(NULL);
	bool complete;

	if (!iter)
		return NULL;
	strbuf_clear(&b->scratch);
	complete = collect_chunks(&b->scratch, token, iter);
	fy_token_iter_destroy(iter);
	if (!complete || strbuf_failed(&b->scratch))
		return NULL;
	*ret_size = b->scratch.size;
	return strbuf_text(&b->scratch);
}

static void builder_scalar(struct builder *b, struct fy_event *event)
{
	struct node node = { .type = NODE_BAD, .at = event_position(b, event) };
	struct fy_token *token = fy_event_get_token(event);
	const struct fy_mark *start = fy_event_start_mark(event);
	size_t size = 0;
	const char *text = token ? scalar_text(b, token, &size) : NULL;
	enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;

	node.plain = style == FYSS_PLAIN;
	if (!token || (text && node.plain && is_null_word(text, size))) {
		node.type = NODE_NULL;
	} else if (!text) {
		builder_out_of_memory(b);
	} else {
		size_t offset = start ? start->input_pos : 0;

		node.verbatim = start && is_verbatim(b, style, &offset, text, size);
		if (node.verbatim)
			node.at = position_at(b, offset, size);
		set_text(b, &node, text, size);
	}
	builder_put(b, &node);
}

/* libfyaml's mark of an anchor or alias is behind its sign: the sign belongs to it. */
static struct position signed_position(struct builder *b, const struct fy_mark *start,
				       const struct fy_mark *end, char sign)
{
	if (!start)
		return b->last;

	size_t offset = start->input_pos;
	size_t width = end && end->input_pos > offset ? end->input_pos - offset : 1;

	if (offset > 0 && offset <= b->file->size && b->file->text[offset - 1] == sign)
		return position_at(b, offset - 1, width + 1);
	return position_at(b, offset, width);
}

static struct position token_position(struct builder *b, struct fy_token *token, char sign)
{
	return signed_position(b, fy_token_start_mark(token), fy_token_end_mark(token), sign);
}

/* Anchors and tags are refused, whatever they stand at. */
static void refuse_properties(struct builder *b, struct fy_event *event)
{
	struct fy_token *anchor = fy_event_get_anchor_token(event);
	struct fy_token *tag = fy_event_get_tag_token(event);

	if (anchor)
		builder_report(b, token_position(b, anchor, '&'), "yaml-anchor",
			       "Quote the text if it is meant to begin with '&'.",
			       "anchors are not supported");
	if (tag)
		builder_report(b, token_position(b, tag, '\0'), "yaml-tag",
			       "Quote the text if it is meant to begin with '!'.",
			       "tags are not supported");
}

static void builder_alias(struct builder *b, struct fy_event *event)
{
	struct node node = { .type = NODE_BAD,
			     .at = signed_position(b, fy_event_start_mark(event),
						   fy_event_end_mark(event), '*') };

	builder_report(b, node.at, "yaml-alias", "Quote the text if it is meant to begin with '*'.",
		       "aliases are not supported");
	builder_put(b, &node);
}

static void builder_event(struct builder *b, struct fy_event *event)
{
	switch (event->type) {
	case FYET_DOCUMENT_START:
		if (b->documents++) /* source_check saw to it that there is one */
			builder_stop(b, b->last, "second-document", NULL,
				     "a second document is not allowed");
		break;
	case FYET_MAPPING_START:
		refuse_properties(b, event);
		builder_open(b, NODE_MAPPING, event);
		break;
	case FYET_SEQUENCE_START:
		refuse_properties(b, event);
		builder_open(b, NODE_SEQUENCE, event);
		break;
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END: builder_close(b); break;
	case FYET_SCALAR:
		refuse_properties(b, event);
		builder_scalar(b, event);
		break;
	case FYET_ALIAS: builder_alias(b, event); break;
	default: break;
	}
}

/* libfyaml counts characters, we count bytes. line and column from 1. */
static struct position character_position(struct builder *b, int line, int column)
{
	if (line < 1 || !b->file->index || !line_cursor_find(&b->cursor, (unsigned)line))
		return b->last;

	const char *text = b->cursor.text + b->cursor.start;
	size_t offset = 0;

	for (int i = 1; i < column && offset < b->cursor.width; i++) {
		size_t width = text_next_char(text + offset, b->cursor.width - offset, NULL);

		offset += width ? width : 1;
	}
	return position_at(b, b->cursor.start + offset, 1);
}

/* What libfyaml says about the syntax: one error, the first. */
static void report_syntax(struct builder *b, struct fy_diag *diag)
{
	struct fy_diag_error *error;
	void *iterator = NULL;

	while ((error = fy_diag_errors_iterate(diag, &iterator)) != NULL) {
		if (error->type != FYET_ERROR)
			continue;
		builder_stop(b, character_position(b, error->line, error->column), "yaml-syntax",
			     NULL, error->msg);
		return;
	}
	builder_stop(b, b->last, "yaml-syntax", NULL, "this is not valid YAML");
}

static void read_events(struct builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
	struct fy_event *event;

	while (!b->stopped && (event = fy_parser_parse(parser)) != NULL) {
		bool end = event->type == FYET_STREAM_END;

		builder_event(b, event);
		fy_parser_event_free(parser, event);
		if (end)
			return;
	}
	if (!b->stopped)
		report_syntax(b, diag);
}

/* libfyaml prints nothing by itself: what it says is collected. */
static void discard_output(struct fy_diag *diag, void *user, const char *text, size_t size)
{
	(void)diag, (void)user, (void)text, (void)size;
}

static struct fy_diag *create_diag(void)
{
	struct fy_diag_cfg config;

	fy_diag_cfg_default(&config);
	config.fp = NULL;
	config.output_fn = discard_output;
	config.level = FYET_ERROR;
	config.colorize = false;

	struct fy_diag *diag = fy_diag_create(&config);

	if (diag)
		fy_diag_set_collect_errors(diag, true);
	return diag;
}

static void parse_text(struct builder *b)
{
	struct fy_diag *diag = create_diag();
	struct fy_parse_cfg config = {
		.flags = FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE |
			 FYPCF_ALLOW_DUPLICATE_KEYS,
		.diag = diag,
	};
	struct fy_parser *parser = diag ? fy_parser_create(&config) : NULL;

	if (!parser || fy_parser_set_string(parser, b->file->text, b->file->size) < 0)
		builder_out_of_memory(b);
	else
		read_events(b, parser, diag);
	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
}

/* What is open when reading stopped is closed; a key without value is dropped. */
static void close_all(struct builder *b)
{
	while (b->depth)
		builder_close(b);
}

void source_parse(const struct source_file *file, struct arena *arena, size_t *counter,
		  struct diagnostics *list, struct node *ret_root)
{
	struct builder b = { .file = file,
			     .arena = arena,
			     .list = list,
			     .cursor = line_cursor_start(file),
			     .last = { file->index, 1, 1, 1 },
			     .counter = counter,
			     .scratch = STRBUF(DOCUMENT_FILE_BYTES_MAX + 1) };

	if (!file->index)
		b.last = (struct position){ 0 };
	b.root.at = b.last;
	/* libfyaml takes no empty text */
	if (file->size)
		parse_text(&b);
	close_all(&b);
	if (b.stopped)
		b.root.incomplete = true;
	free(b.stack);
	strbuf_finish(&b.scratch);
	*ret_root = b.root;
}
