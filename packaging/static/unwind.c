/* What libgcc's unwinder (libgcc_eh.a) of a compiler for glibc needs in a static program on musl.
 *
 * Where the frames of an instruction are described it asks the C library, by a function of glibc
 * 2.35 ("Dynamic Linker Introspection" in its manual) that musl has not. A static program is one
 * object, and its program headers say it.
 */
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>

struct dl_find_object {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct search {
    ElfW(Addr) pc;
    struct dl_find_object *result;
};

static int look(struct dl_phdr_info *object, size_t size, void *data)
{
    struct search *search = data;
    struct dl_find_object *result = search->result;
    int is_here = 0;
    (void)size;
    result->eh_frame = NULL;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        ElfW(Addr) start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && search->pc - start < part->p_memsz) {
            result->map_start = (void *)start;
            result->map_end = (void *)(start + part->p_memsz);
            is_here = 1;
        } else if (part->p_type == PT_GNU_EH_FRAME) {
            result->eh_frame = (void *)start;
        }
    }
    return is_here && result->eh_frame != NULL;
}

int _dl_find_object(void *pc, struct dl_find_object *result)
{
    struct search search = {(ElfW(Addr))pc, result};
    result->flags = 0;
    result->link_map = NULL;
    return dl_iterate_phdr(look, &search) == 1 ? 0 : -1;
}

/* It names these weakly: a static program gets them only if something else asks for them, and it
 * calls address 0 without them. */
__attribute__((used)) static void *const needed[] = {
    (void *)pthread_getspecific, (void *)pthread_key_create,   (void *)pthread_mutex_lock,
    (void *)pthread_mutex_unlock, (void *)pthread_once,        (void *)pthread_setspecific,
};
