// The part of a segment's file that is in memory. All code that reads frames (opening, readers,
// repair) uses it, with the same memory for every segment size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "store/directory.h"
#include "store/recovery.h"
#include "sys/limits.h"
#include "sys/status.h"

namespace espora::store {

// Belongs to one thread. `directory` and the file in use must outlive it.
class SegmentWindow final : public SegmentBlocks {
 public:
  // `portion_bytes`: the most bytes of one read.
  explicit SegmentWindow(Directory& directory,
                         size_t portion_bytes = limits::store_read_bytes) noexcept
      : directory_(directory), portion_blocks_(blocks_of(portion_bytes)) {}

  // From now on provides the blocks of `file` before `end_block`.
  void look_at(ReadFile& file, uint32_t end_block, Missing missing = Missing::is_damage) noexcept;
  // Its content may be out of date.
  void forget() noexcept;
  // Frees the memory.
  void close() noexcept;

  [[nodiscard]] uint32_t end_block() const noexcept override { return end_block_; }
  [[nodiscard]] std::span<const uint32_t> unreadable() const noexcept override {
    return refused_.blocks;
  }
  // Code::unreadable if one of these blocks was refused.
  [[nodiscard]] sys::Status readable(uint32_t block, uint32_t count) const;

  // At most as many blocks as the largest frame or one read has. Reads ahead if the request
  // continues its content; otherwise reads only what is requested.
  sys::Status show(uint32_t block, uint32_t count, SegmentImage& image) override;
  // Reads everything from `block` on, only to find blocks that the device refuses.
  sys::Status look_through(uint32_t block);
  // show() in steps: whether the blocks are there; reads some that are not, with one system call
  // unless the device refuses blocks; the content.
  [[nodiscard]] bool holds(uint32_t block, uint32_t count) const noexcept;
  sys::Status read(uint32_t block, uint32_t count);
  [[nodiscard]] SegmentImage image() const noexcept {
    return {buffer_.span().first(size_t{blocks_} * format::block_bytes), refused_.blocks, first_};
  }

 private:
  [[nodiscard]] uint32_t end_of(uint32_t block, uint32_t count) const noexcept;
  [[nodiscard]] std::byte* place(uint32_t block) const noexcept {
    return buffer_.data() + size_t{block - first_} * format::block_bytes;
  }

  Directory& directory_;
  const uint32_t portion_blocks_;
  ReadFile* file_ = nullptr;
  Missing missing_ = Missing::is_damage;
  uint32_t end_block_ = 0;
  BlockBuffer buffer_;
  uint32_t first_ = 0;   // position of its content in the file
  uint32_t blocks_ = 0;  // number of blocks of its content
  RefusedBlocks refused_;
};

}  // namespace espora::store
