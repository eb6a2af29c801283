/* Reading a tree (see xml.h). Nothing here fails but for memory. */
#include "xml.h"

#include <string.h>

bool xml_is(const xmlNode *node, const char *namespace_uri, const char *name)
{
	return node && node->type == XML_ELEMENT_NODE &&
	       strcmp((const char *)node->name, name) == 0 && node->ns && node->ns->href &&
	       strcmp((const char *)node->ns->href, namespace_uri) == 0;
}

static xmlNode *element_from(xmlNode *node)
{
	while (node && node->type != XML_ELEMENT_NODE)
		node = node->next;
	return node;
}

xmlNode *xml_first(const xmlNode *node)
{
	return element_from(node->children);
}

xmlNode *xml_next(const xmlNode *node)
{
	return element_from(node->next);
}

xmlNode *xml_child(const xmlNode *node, const char *namespace_uri, const char *name)
{
	xmlNode *child = xml_first(node);

	while (child && !xml_is(child, namespace_uri, name))
		child = xml_next(child);
	return child;
}

xmlNode *xml_again(const xmlNode *node, const char *namespace_uri, const char *name)
{
	xmlNode *next = xml_next(node);

	while (next && !xml_is(next, namespace_uri, name))
		next = xml_next(next);
	return next;
}

const char *xml_value(const xmlAttr *attribute)
{
	const xmlNode *text = attribute->children;

	if (!text)
		return "";
	if (text->next || text->type != XML_TEXT_NODE)
		return NULL;
	return text->content ? (const char *)text->content : "";
}

const char *xml_attribute(const xmlNode *node, const char *name)
{
	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (!a->ns && strcmp((const char *)a->name, name) == 0)
			return xml_value(a);
	return NULL;
}

static const char *content(const xmlNode *text)
{
	return text->content ? (const char *)text->content : "";
}

const char *xml_text(const xmlNode *node, struct arena *arena)
{
	size_t size = 0;
	char *joined;

	for (const xmlNode *n = node->children; n; n = n->next) {
		if (n->type == XML_ELEMENT_NODE)
			return NULL;
		if (n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE)
			size += strlen(content(n));
	}
	if (size == 0)
		return "";
	if (!node->children->next)
		return content(node->children);
	joined = arena_alloc(arena, size + 1);
	if (!joined)
		return NULL;
	size = 0;
	for (const xmlNode *n = node->children; n; n = n->next) {
		if (n->type != XML_TEXT_NODE && n->type != XML_CDATA_SECTION_NODE)
			continue;
		memcpy(joined + size, content(n), strlen(content(n)));
		size += strlen(content(n));
	}
	return joined;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const char *xml_trimmed_text(const xmlNode *node, struct arena *arena)
{
	const char *text = xml_text(node, arena);
	size_t size;

	if (!text)
		return NULL;
	while (is_space(*text))
		text++;
	size = strlen(text);
	if (size == 0 || !is_space(text[size - 1]))
		return text;
	while (size > 0 && is_space(text[size - 1]))
		size--;
	return arena_strndup(arena, text, size);
}
