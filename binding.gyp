# The build that ships: one file, build/Release/espora.node, made by node-gyp. CMakeLists.txt is the
# developer's build; what changes the meaning of the code (exceptions, RTTI, NDEBUG, optimisation,
# NAPI_VERSION) is written in both and must agree.
{
  'targets': [
    {
      'target_name': 'espora',
      'sources': ['<!@(grep -v -e ^# -e ^$ native/sources.txt | sed s,^,native/,)'],
      'include_dirs': [
        'native',
        '<!(node -p "require(\'node-addon-api\').include_dir")',
      ],
      'defines': [
        'NAPI_VERSION=9',
        'NAPI_CPP_EXCEPTIONS',
        'NODE_ADDON_API_CPP_EXCEPTIONS_ALL',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
        'NDEBUG',
        'ESPORA_VERSION="<!(node -p "require(\'./package.json\').version")"',
      ],
      'cflags!': ['-O3'],
      'cflags': ['-O2', '-g1', '-fvisibility=hidden', '-Wall', '-Wextra'],
      'cflags_cc!': ['-fno-exceptions', '-std=gnu++17', '-std=gnu++20', '-std=gnu++23', '-O3'],
      'cflags_cc': ['-std=c++20', '-fexceptions', '-fno-rtti', '-Wno-missing-field-initializers'],
      # C++ objects that outlive the module would run destructors in unmapped memory; and the exported
      # names of one addon must never meet those of another.
      # The C++ runtime is part of the addon: what it needs of a system is the C library alone.
      # make runs in build/: a relative path has nothing that a shell could split.
      'ldflags': [
        '-Wl,-z,nodelete', '-Wl,-z,now', '-Wl,-z,relro', '-static-libstdc++', '-static-libgcc',
        '-Wl,--version-script=../native/binding/exports.map',
      ],
    },
  ],
}
