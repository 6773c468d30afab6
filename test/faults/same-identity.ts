/** Loaded before a worker by a test: it is process 1, as everybody is in a container. */
Object.defineProperty(process, 'pid', { value: 1 });
