export default {
  files: ['test/**/*.test.ts'],
  typescript: { compile: false, rewritePaths: { 'test/': '.build/test/' } },
  // A crash of the addon then costs one file, not the run.
  workerThreads: false,
  timeout: '5m',
};
