/* SPDX-License-Identifier: MIT */
/*
 * From addresses to functions' names. In this order:
 *
 * 1. The symbol table of the module: our own program's from its file, which
 *    names static functions too; a library's from its separate debug file,
 *    where one is installed (found by its build id, so it is the right one).
 * 2. What the module exports, from memory. dladdr(3) names a function only
 *    for an address within it.
 * 3. The module, and where in it the function begins, as the unwinder's table
 *    says: a function without a name is one frame still.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/profile_internal.h"

enum { MODULES_MAX = 128, NAME_MAX_SHOWN = 256, BUCKETS = 4096 };

#define DEBUG_FILES "/usr/lib/debug/.build-id/"

struct symbol {
	uintptr_t start, end;
	const char *name; /* in the mapped file */
};

struct module {
	const char *name;
	uintptr_t base, start, end; /* what is added; what it covers */
	void *file;                 /* mapped; NULL: none */
	size_t file_size;
	struct symbol *symbols; /* by start */
	size_t symbol_count;
};

/* What was looked up. */
struct known {
	struct known *next;
	uintptr_t address;
	char name[];
};

struct symbols {
	struct module modules[MODULES_MAX];
	unsigned module_count;
	void *unwinder;
	void *(*function_of)(void *address);
	struct known *known[BUCKETS];
};

/* ---- files --------------------------------------------------------------- */

static bool
map_file(struct module *module, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;
	void *file = MAP_FAILED;

	if (fd < 0)
		return false;
	if (!fstat(fd, &stat) && (size_t)stat.st_size >= sizeof(ElfW(Ehdr)))
		file = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE,
			    fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return false;
	module->file = file;
	module->file_size = (size_t)stat.st_size;
	return true;
}

static void
unmap_file(struct module *module)
{
	if (module->file)
		munmap(module->file, module->file_size);
	module->file = NULL;
}

/* A part of the file, NULL where the file is shorter. */
static const void *
part(const struct module *module, uint64_t offset, uint64_t size)
{
	if (offset > module->file_size || size > module->file_size - offset)
		return NULL;
	return (const char *)module->file + offset;
}

static const ElfW(Shdr) *
	section_at(const struct module *module, unsigned index)
{
	const ElfW(Ehdr) *header = module->file;

	if (index >= header->e_shnum ||
	    header->e_shentsize != sizeof(ElfW(Shdr)))
		return NULL;
	return part(module, header->e_shoff + index * sizeof(ElfW(Shdr)),
		    sizeof(ElfW(Shdr)));
}

static const ElfW(Shdr) * find_symbol_table(const struct module *module)
{
	const ElfW(Ehdr) *header = module->file;

	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] !=
		    (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
		return NULL;
	for (unsigned i = 0; i < header->e_shnum; i++) {
		const ElfW(Shdr) *section = section_at(module, i);

		if (section && section->sh_type == SHT_SYMTAB &&
		    section->sh_entsize == sizeof(ElfW(Sym)))
			return section;
	}
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	const struct symbol *left = a, *right = b;

	return (left->start > right->start) - (left->start < right->start);
}

static bool
is_function(const ElfW(Sym) * symbol)
{
	/* The same in both classes. */
	unsigned type = ELF64_ST_TYPE(symbol->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) &&
	       symbol->st_shndx != SHN_UNDEF && symbol->st_size > 0;
}

/* From the mapped file. What is wrong with it is left out. */
static void
read_symbols(struct module *module)
{
	const ElfW(Shdr) *table = find_symbol_table(module);
	const ElfW(Shdr) *texts =
		table ? section_at(module, table->sh_link) : NULL;
	const ElfW(Sym) * list;
	const char *text;
	size_t count;

	if (!texts)
		return;
	list = part(module, table->sh_offset, table->sh_size);
	text = part(module, texts->sh_offset, texts->sh_size);
	count = table->sh_size / sizeof(*list);
	if (!list || !text || !texts->sh_size || text[texts->sh_size - 1])
		return;
	module->symbols = calloc(count + 1, sizeof(*module->symbols));
	for (size_t i = 0; module->symbols && i < count; i++) {
		uintptr_t start = module->base + list[i].st_value;

		if (!is_function(&list[i]) || list[i].st_name >= texts->sh_size)
			continue;
		module->symbols[module->symbol_count++] =
			(struct symbol){ start, start + list[i].st_size,
					 text + list[i].st_name };
	}
	qsort(module->symbols, module->symbol_count, sizeof(*module->symbols),
	      compare);
}

/* ---- modules ------------------------------------------------------------- */

/* The build id among the notes of a segment; data NULL: it is not there. */
static struct bytes
build_id_in(const char *note, size_t size, size_t align)
{
	const char *end = note + size;

	while ((size_t)(end - note) >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *head = (const void *)note;
		const char *id = note + sizeof(*head) +
				 ((head->n_namesz + align - 1) & -align);
		const char *next = id + ((head->n_descsz + align - 1) & -align);

		if (next > end)
			break;
		if (head->n_type == NT_GNU_BUILD_ID &&
		    head->n_namesz == sizeof("GNU"))
			return (struct bytes){ id, head->n_descsz };
		note = next;
	}
	return (struct bytes){ NULL, 0 };
}

static struct bytes
build_id(const struct dl_phdr_info *info)
{
	struct bytes id = { NULL, 0 };

	for (unsigned i = 0; i < info->dlpi_phnum && !id.data; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_NOTE)
			id = build_id_in((const char *)(info->dlpi_addr +
							segment->p_vaddr),
					 segment->p_memsz,
					 segment->p_align == 8 ? 8 : 4);
	}
	return id;
}

/* ".../ab/cdef....debug"; false: it has no build id. */
static bool
debug_path(const struct dl_phdr_info *info, char *path, size_t size)
{
	struct bytes id = build_id(info);
	const unsigned char *at = id.data;
	size_t len = sizeof(DEBUG_FILES) - 1;

	if (id.len < 2 || len + 2 * id.len + sizeof("/.debug") > size)
		return false;
	strcpy(path, DEBUG_FILES);
	for (size_t i = 0; i < id.len; i++)
		len += (size_t)sprintf(path + len, "%s%02x", i == 1 ? "/" : "",
				       at[i]);
	strcpy(path + len, ".debug");
	return true;
}

static void
find_bounds(struct module *module, const struct dl_phdr_info *info)
{
	module->base = info->dlpi_addr;
	module->start = UINTPTR_MAX;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type != PT_LOAD)
			continue;
		if (start < module->start)
			module->start = start;
		if (start + segment->p_memsz > module->end)
			module->end = start + segment->p_memsz;
	}
}

/* The first module is the program. */
static int
add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct symbols *symbols = arg;
	struct module *module = &symbols->modules[symbols->module_count];
	bool own = symbols->module_count == 0;
	const char *slash = strrchr(info->dlpi_name, '/');
	char path[512];

	(void)size;
	if (symbols->module_count == MODULES_MAX)
		return 1;
	symbols->module_count++;
	module->name = slash ? slash + 1 : info->dlpi_name;
	if (own)
		module->name = program_invocation_short_name;
	find_bounds(module, info);
	if (own && map_file(module, "/proc/self/exe"))
		read_symbols(module);
	if (module->symbol_count == 0) {
		unmap_file(module);
		if (debug_path(info, path, sizeof(path)) &&
		    map_file(module, path))
			read_symbols(module);
	}
	return 0;
}

struct symbols *
symbols_open(void)
{
	struct symbols *symbols = calloc(1, sizeof(*symbols));

	if (!symbols)
		return NULL;
	dl_iterate_phdr(add_module, symbols);
	/* It was loaded for backtrace(3). */
	symbols->unwinder = dlopen("libgcc_s.so.1", RTLD_LAZY);
	if (symbols->unwinder)
		symbols->function_of = (void *(*)(void *))(uintptr_t)dlsym(
			symbols->unwinder, "_Unwind_FindEnclosingFunction");
	return symbols;
}

void
symbols_close(struct symbols *symbols)
{
	for (unsigned i = 0; i < symbols->module_count; i++) {
		unmap_file(&symbols->modules[i]);
		free(symbols->modules[i].symbols);
	}
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct known *known = symbols->known[i], *next;

		for (; known; known = next) {
			next = known->next;
			free(known);
		}
	}
	if (symbols->unwinder)
		dlclose(symbols->unwinder);
	free(symbols);
}

/* ---- names --------------------------------------------------------------- */

static const struct module *
find_module(const struct symbols *symbols, uintptr_t address)
{
	for (unsigned i = 0; i < symbols->module_count; i++)
		if (address >= symbols->modules[i].start &&
		    address < symbols->modules[i].end)
			return &symbols->modules[i];
	return NULL;
}

static const char *
find_symbol(const struct module *module, uintptr_t address)
{
	size_t low = 0, high = module->symbol_count;

	/* The first that starts behind the address. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (module->symbols[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || address >= module->symbols[low - 1].end)
		return NULL;
	return module->symbols[low - 1].name;
}

static void
add_place(char *out, const struct symbols *symbols, const struct module *module,
	  uintptr_t address)
{
	/* The unwinder takes it for one that a call returns to. */
	uintptr_t start =
		symbols->function_of
			? (uintptr_t)symbols->function_of((void *)(address + 1))
			: 0;

	if (!module)
		snprintf(out, NAME_MAX_SHOWN, "0x%llx",
			 (unsigned long long)address);
	else
		snprintf(out, NAME_MAX_SHOWN, "%s+0x%llx",
			 *module->name ? module->name : "vdso",
			 (unsigned long long)((start ? start : address) -
					      module->base));
}

/* Parts that the compiler made of a function have its name and more:
 * "sort.constprop.0", "run.cold". */
static void
copy_name(char *out, const char *name)
{
	static const char inside[] = "__GI_";
	size_t len;

	/* glibc's own calls of what it exports. */
	if (!strncmp(name, inside, sizeof(inside) - 1))
		name += sizeof(inside) - 1;
	len = strcspn(name, ".@");
	snprintf(out, NAME_MAX_SHOWN, "%.*s", (int)(len ? len : strlen(name)),
		 name);
}

static void
look_up(char *out, const struct symbols *symbols, uintptr_t address)
{
	const struct module *module = find_module(symbols, address);
	const char *name = module ? find_symbol(module, address) : NULL;
	Dl_info info;

	if (name)
		copy_name(out, name);
	else if (module && dladdr((void *)address, &info) && info.dli_sname)
		copy_name(out, info.dli_sname);
	else
		add_place(out, symbols, module, address);
}

const char *
symbols_name(struct symbols *symbols, uintptr_t address, bool called)
{
	struct known **bucket, *known;
	char name[NAME_MAX_SHOWN];

	/* A call may be the last of its function: what it returns to is then
	 * in the next. */
	address -= called;
	bucket = &symbols->known[(address ^ address >> 12) % BUCKETS];
	for (known = *bucket; known; known = known->next)
		if (known->address == address)
			return known->name;
	look_up(name, symbols, address);
	known = malloc(sizeof(*known) + strlen(name) + 1);
	if (!known)
		return "?";
	known->address = address;
	strcpy(known->name, name);
	known->next = *bucket;
	*bucket = known;
	return known->name;
}
