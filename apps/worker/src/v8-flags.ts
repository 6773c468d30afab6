import { setFlagsFromString } from 'node:v8';

// V8 lets up to four threads collect the young generation beside the main one: done sooner where cores are idle, dearer where none is.
// Measured on two full cores (docs/adr/0014): what all its threads do beside the main one was a third of a worker's CPU.
setFlagsFromString('--no-parallel-scavenge');
// ../../v8-flags.js says 50. Each attempt outlives one or two collections of the young generation, so that a worker at full speed
// looked through its old one twice a second, which cost it an eighth of its CPU.
setFlagsFromString('--heap-growing-percent=75');
