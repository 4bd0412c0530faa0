// What code says where the kernel refuses its system calls, seccomp(2).
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace espora::test {

// From here on the kernel answers these calls of this process with `error`.
inline bool refuse(const std::vector<long>& calls, int error) {
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  for (const long call : calls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// What `run` returns in a process of its own for which these calls are refused; false where that
// process was killed or ended itself, nothing where there is no seccomp.
inline std::optional<bool> where_refused(const std::vector<long>& calls, int error,
                                         const std::function<bool()>& run) {
  constexpr int no_seccomp = 77;
  const pid_t child = fork();
  if (child == 0) {
    if (!refuse(calls, error)) _exit(no_seccomp);
    _exit(run() ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return false;
  if (WEXITSTATUS(status) == no_seccomp) return std::nullopt;
  return WEXITSTATUS(status) == 0;
}

}  // namespace espora::test
