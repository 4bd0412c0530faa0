// Symbols that the statically linked C++ runtime, on build machines with a newer C library,
// requires and that the oldest supported C library lacks. They are defined here, invisible to other
// libraries. test/packaging/floor.test.ts checks which versions are still required.
#include <dlfcn.h>
#include <link.h>

#include <cstdint>

extern "C" {

// sys/single_threaded.h, glibc 2.32. False is always safe: shared pointers then count atomically.
char __libc_single_threaded = 0;

// glibc 2.36. Needed by std::random_device, which nothing here uses.
uint32_t arc4random() noexcept { __builtin_trap(); }

#ifdef DLFO_STRUCT_HAS_EH_DBASE
// glibc 2.35: where the unwinder finds the tables of the object that contains an address. Done as
// in older versions, by looking at all objects.
int _dl_find_object(void* address, struct dl_find_object* result) noexcept {
  struct Search {
    ElfW(Addr) address;
    struct dl_find_object* result;
  } search{reinterpret_cast<ElfW(Addr)>(address), result};
  const auto look = [](struct dl_phdr_info* object, size_t, void* given) {
    const auto* wanted = static_cast<const Search*>(given);
    const ElfW(Phdr)* tables = nullptr;
    bool within = false;
    for (size_t i = 0; i < object->dlpi_phnum; ++i) {
      const ElfW(Phdr)& part = object->dlpi_phdr[i];
      if (part.p_type == PT_GNU_EH_FRAME) tables = &part;
      const ElfW(Addr) begin = object->dlpi_addr + part.p_vaddr;
      if (part.p_type != PT_LOAD || wanted->address < begin ||
          wanted->address - begin >= part.p_memsz) {
        continue;
      }
      within = true;
      wanted->result->dlfo_map_start = reinterpret_cast<void*>(begin);
      wanted->result->dlfo_map_end = reinterpret_cast<void*>(begin + part.p_memsz);
    }
    if (!within) return 0;
    wanted->result->dlfo_flags = 0;
    wanted->result->dlfo_link_map = nullptr;
    wanted->result->dlfo_eh_frame =
        tables == nullptr ? nullptr : reinterpret_cast<void*>(object->dlpi_addr + tables->p_vaddr);
    return 1;
  };
  return ::dl_iterate_phdr(look, &search) == 1 && result->dlfo_eh_frame != nullptr ? 0 : -1;
}
#endif

}  // extern "C"
