# The benchmarks' own addon, bench/native/build/Release/espora_bench.node: single calls and loops into
# the rooms, compiled as in the binding.gyp that ships. Never part of the package.
{
  'targets': [
    {
      'target_name': 'espora_bench',
      'sources': [
        '<!@(grep -e ^sys/ -e ^http/ -e ^store/ -e ^ledger/ ../../native/sources.txt | sed s,^,../../native/,)',
        'addon.cc',
        'append_trial.cc',
        'apply_trial.cc',
        'bare_loop.cc',
        'call_trial.cc',
        'checksum_trial.cc',
        'encode_trial.cc',
        'history_trial.cc',
        'parse_trial.cc',
        'values.cc',
      ],
      'include_dirs': [
        '../../native',
        '<!(node -p "require(\'node-addon-api\').include_dir")',
      ],
      'defines': [
        'NAPI_VERSION=9',
        'NAPI_CPP_EXCEPTIONS',
        'NODE_ADDON_API_CPP_EXCEPTIONS_ALL',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
        'NDEBUG',
        'ESPORA_VERSION="<!(node -p "require(\'../../package.json\').version")"',
      ],
      'cflags!': ['-O3'],
      'cflags': ['-O2', '-g1', '-fvisibility=hidden', '-Wall', '-Wextra'],
      'cflags_cc!': ['-fno-exceptions', '-std=gnu++17', '-std=gnu++20', '-std=gnu++23', '-O3'],
      'cflags_cc': ['-std=c++20', '-fexceptions', '-fno-rtti', '-Wno-missing-field-initializers'],
      'ldflags': [
        '-Wl,-z,nodelete', '-Wl,-z,now', '-Wl,-z,relro', '-static-libstdc++', '-static-libgcc',
        '-Wl,--version-script=../../../native/binding/exports.map',
      ],
    },
  ],
}
