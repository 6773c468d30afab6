import { setFlagsFromString } from 'node:v8';

// V8 lets up to four threads collect the young generation beside the main one: done sooner where cores are idle, dearer where none is.
// Measured on two full cores (docs/adr/0014): what all its threads do beside the main one was a third of a worker's CPU.
setFlagsFromString('--no-parallel-scavenge');
// Between two turns of the event loop V8 looks whether the young generation is full to four fifths, and collects it then: a fifth
// more collections, each of which copies what is under way.
setFlagsFromString('--no-minor-gc-task');
// ../../v8-flags.js says 50. What of an attempt outlives two collections of the young generation fills the old one, which a worker at
// full speed looked through twice a second so.
setFlagsFromString('--heap-growing-percent=100');
