// The deliberate defects of the simulation exist in its own build only.
#include "store/defects.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace espora::store {
namespace {

#ifdef ESPORA_SIMULATION
#error "Only the simulator's own build may know the defects."
#endif

// A constant expression: so there is no state that could switch a defect on.
constexpr bool leaves_nothing() {
  ESPORA_DEFECT(skip_flush) return false;
  return true;
}
static_assert(leaves_nothing());

TEST(Defects, EachHasANameOfItsOwn) {
  const std::set<std::string_view> names(defect_names.begin(), defect_names.end());
  EXPECT_EQ(names.size(), defect_names.size());
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace espora::store
