// For this file's own process (vitest.config.ts), which has read it by now. What a test starts runs as it does anywhere else.
delete process.env['NODE_COMPILE_CACHE'];
